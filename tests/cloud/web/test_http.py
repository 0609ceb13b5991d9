"""What holds for every route of the API, the cloud's own and those that are plugged in."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from cloud.app import create_app
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from cloud.web.http_request import LARGEST_BODY
from shared.clock import ManualClock
from shared.web.roles import SAFE, stated
from tests.cloud.makers import NOON, device, inspection, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_access import fleet_of
from tests.cloud.web.test_api import BASE, healthy
from tests.support.databases import place_migrated

# What they answer is another at each moment.
MOVING = {"/api/health", "/api/costs"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("http")


@pytest.fixture(scope="module")
def records(folder: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{place_migrated(Database, folder / 'records.db')}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def app(records: Database, folder: Path) -> Iterator[FastAPI]:
    clock = ManualClock(utc=NOON)
    RecordStore(records).save([inspection(1)], [tail(1)], [device()])
    fleet = fleet_of(folder / "fleet", clock)
    fleet.start()
    stopping = threading.Event()
    # Else the stream of the live page would never end.
    stopping.set()
    yield create_app(Backstage(records, healthy, clock=clock, services=[fleet], stopping=stopping))
    fleet.stop()


@pytest.fixture(scope="module")
def caller(app: FastAPI) -> Caller:
    return Caller(app, BASE)


def addresses(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route, with something sensible in each place."""
    given = {
        "device": "box-1",
        "boot": "b1",
        "sequence": "1",
        "id_": "1",
        "id": "1",
        "name": "ada",
        "secret": "x",
    }
    return [
        (method, path.format_map(_Places(given)))
        for method, path, _ in stated(app.routes)
        if method != "HEAD"
    ]


class _Places(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "1"


def test_every_route_refuses_a_name_in_the_query_that_it_does_not_know(
    app: FastAPI, caller: Caller
) -> None:
    found = addresses(app)
    assert len(found) > 40
    for method, path in found:
        # A body, so that it is not the lack of one that is refused.
        answer = caller.request(method, path, params={"devise": "box-1"}, json={})
        assert answer.status_code == 422, (method, path, answer.text)
        assert "devise" in answer.text, (method, path, answer.text)


def test_a_misspelt_filter_is_named_with_those_that_there_are(caller: Caller) -> None:
    answer = caller.get("/api/v1/inspections?devise=box-1&device=box-1")
    assert answer.json()["detail"] == "nothing here is called 'devise'"
    assert " device," in answer.json()["fix"]
    twice = caller.get("/api/v1/inspections?device=box-1&device=box-2")
    assert (twice.status_code, twice.json()["detail"]) == (422, "device came more than once")


def test_every_path_of_the_api_is_versioned_and_the_old_one_says_so(
    app: FastAPI, caller: Caller
) -> None:
    paths = [path for method, path in addresses(app) if method == "GET" and path[:5] == "/api/"]
    paths = [path for path in paths if path not in MOVING]
    assert "/api/fleet/rollouts" in paths
    for path in paths:
        new, old = caller.get(path.replace("/api/", "/api/v1/")), caller.get(path)
        assert (new.status_code, new.json() if "json" in new.headers["content-type"] else 0) == (
            old.status_code,
            json.loads(old.text.replace("GET /api/", "GET /api/v1/"))
            if "json" in old.headers["content-type"]
            else 0,
        )
        assert "deprecation" not in new.headers
        assert old.headers["deprecation"].startswith("@")
        successor = old.headers["link"].removeprefix("<").partition(">")[0]
        assert httpx.URL(BASE + path).join(successor).path == path.replace("/api/", "/api/v1/")


def test_a_version_that_there_is_not_is_no_address(caller: Caller) -> None:
    answer = caller.get("/api/v2/devices")
    assert answer.status_code == 404
    assert "/api/v2/devices" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/inspections/box-1/b1/99", None),
        ("GET", "/api/v1/inspections/box-1/b1/99/map.png", None),
        ("PUT", "/api/v1/inspections/box-1/b1/99/review", {"verdict": "pass", "inspector": "ada"}),
        ("GET", "/api/v1/accounts/nobody/sessions", None),
        ("DELETE", "/api/v1/accounts/nobody/sessions", None),
        ("PATCH", "/api/v1/accounts/nobody", {"role": "viewer"}),
        ("PUT", "/api/v1/accounts/nobody/password", {"password": "long enough to be one"}),
        ("DELETE", "/api/v1/tokens/nothing", None),
        ("GET", "/api/v1/fleet/rollouts/7", None),
        ("POST", "/api/v1/fleet/rollouts/7/pause", {"by": "ada"}),
        ("POST", "/api/v1/fleet/rollouts/7/abort", {"by": "ada"}),
        ("GET", "/api/v1/fleet/shadow?device=box-9", None),
        ("POST", "/api/v1/fleet/identities/box-9/revoke", {"reason": "stolen"}),
        ("POST", "/api/v1/fleet/identities/box-9/readmit", {}),
        ("GET", "/api/v1/nothing", None),
    ],
)
def test_what_is_not_there_is_a_404(
    caller: Caller, method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = caller.request(method, path, json=body)
    assert answer.status_code == 404, answer.text
    assert answer.json()["fix"]


@pytest.mark.parametrize("number", [2**63, 2**64, 10**30])
def test_a_number_beyond_64_bits_is_the_callers_mistake(
    app: FastAPI, caller: Caller, number: int
) -> None:
    numbered = [
        (method, path)
        for method, path, _ in stated(app.routes)
        if method != "HEAD" and ("{sequence}" in path or "{id_}" in path)
    ]
    assert len(numbered) >= 8
    for method, path in numbered:
        full = path.format_map(_Places(device="box-1", boot="b1", sequence=number, id_=number))
        assert 400 <= caller.request(method, full, json={}).status_code < 500, (method, path)
    for name in ("part_from", "part_to", "limit"):
        assert caller.get(f"/api/v1/inspections?{name}={number}").status_code == 422, name
    assert caller.get(f"/api/v1/audit?before={number}").status_code == 422


def test_head_is_answered_wherever_get_is_with_no_body(app: FastAPI, caller: Caller) -> None:
    for method, path in addresses(app):
        if method == "GET":
            full, head = caller.get(path), caller.request("HEAD", path)
            assert head.status_code == full.status_code, path
            assert head.content == b"", path
            assert head.headers.get("content-type") == full.headers.get("content-type"), path


def test_every_address_says_which_methods_it_takes(app: FastAPI, caller: Caller) -> None:
    for method, path in addresses(app):
        allowed = caller.request("OPTIONS", path)
        assert (allowed.status_code, allowed.content) == (204, b""), path
        names = set(allowed.headers["allow"].split(", "))
        assert {method, "OPTIONS"} <= names, path
        assert ("HEAD" in names) == ("GET" in names), path
        refused = caller.request("TRACE", path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed.headers["allow"])
    assert caller.request("OPTIONS", "/api/v1/nothing").status_code == 404


def test_what_has_not_changed_is_not_sent_again(app: FastAPI, caller: Caller) -> None:
    answered = 0
    for method, path in addresses(app):
        if method == "GET" and path.startswith("/api/") and path not in MOVING:
            first = caller.get(path)
            # Exports are sent on as they are read, and have no mark.
            if first.status_code == 200 and not path.startswith("/api/parts."):
                again = caller.get(path, headers={"if-none-match": first.headers["etag"]})
                assert (again.status_code, again.content) == (304, b""), path
                assert again.headers["etag"] == first.headers["etag"]
                answered += 1
    assert answered > 12


def test_what_has_changed_is_sent(records: Database, caller: Caller) -> None:
    before = caller.get("/api/v1/devices").headers["etag"]
    RecordStore(records).save(devices=[device(state="offline")])
    after = caller.get("/api/v1/devices", headers={"if-none-match": f'"x", {before}'})
    assert (after.status_code, after.json()[0]["state"]) == (200, "offline")


def test_more_than_is_read_is_refused_before_it_is_kept(caller: Caller) -> None:
    path, body = "/api/v1/inspections/box-1/b1/1/review", b"[" + b" " * LARGEST_BODY

    async def pieces() -> Any:
        for at in range(0, len(body), 65_536):
            yield body[at : at + 65_536]

    headers = {"content-type": "application/json"}
    for content in (body, pieces()):
        answer = caller.put(path, content=content, headers=headers)
        assert answer.status_code == 413, answer.text
        assert "4,194,304 B" in answer.json()["detail"]


def test_a_slash_too_many_leads_to_the_address_without(caller: Caller) -> None:
    for path in ("/api/v1/devices/?", "/fleet/?x=1", "/api/v1/inspections/box-1/b1/1/?"):
        answer = caller.get(path)
        assert answer.status_code == 307
        assert answer.headers["location"] == path.rstrip("?").replace("/?", "?").rstrip("/")


def test_the_description_says_all_that_a_route_answers_and_who_may_call(app: FastAPI) -> None:
    described = app.openapi()
    routes = [
        route
        for route in iter_route_contexts(app.routes)
        if str(route.path).startswith("/api/") and getattr(route, "include_in_schema", False)
    ]
    assert len(routes) > 30
    needed = {(method, path): wanted for method, path, wanted in stated(app.routes)}
    for route in routes:
        path = str(route.path)
        for method in route.methods or ():
            told = described["paths"][path.replace("/api/", "/api/v1/")][method.lower()]
            expected = {400, 401, 403, 404, 405, 413, 422, 429, 503}
            assert expected | (set() if method in SAFE else {409}) <= {
                int(one) for one in told["responses"]
            }
            session, token = told["security"]
            asked = [need for need in needed[method, path] if need.role]
            assert session["session"] in [[need.role] for need in asked]
            assert set(token["token"]) == {need.scope for need in asked}
    assert described["components"]["securitySchemes"]["session"]["name"] == "splitsight"
    text = json.dumps(described)
    assert "HTTPValidationError" not in text
    assert '"/api/fleet' not in text
