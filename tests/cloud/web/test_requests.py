"""Every route, by its OpenAPI description, with whatever a caller may send: no answer is a 500."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.app import create_app
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from fleet.configuration.settings import FleetSettings, GatewaySettings
from fleet.identity.authority import Authority
from fleet.service import open_fleet
from shared.clock import ManualClock
from shared.plugins.services import NoTails, Surroundings
from shared.transport.memory import MemoryBroker
from shared.worker import DeadWorkers
from tests.cloud.makers import NOON, device, inspection, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import BASE, healthy

INTEGERS = st.integers() | st.sampled_from([0, 1, 2**31, 2**63 - 1, 2**63, 10**20 - 1, -(2**63)])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=80) | st.sampled_from(
    ["box-1", "b1", "..", "nan", "inf", "1e300", "\0", "%00", "null", "models/m/1.zip", "1"]
)
VALUES = TEXTS | INTEGERS.map(str) | st.floats().map(str) | st.booleans().map(str)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[FastAPI]:
    clock, dead = ManualClock(utc=NOON), DeadWorkers()
    RecordStore(database).save([inspection(1, inspected_at=1e300)], [tail(1)], [device(at=1e300)])
    Authority.create(tmp_path / "fleet", ["localhost"], clock)
    broker = MemoryBroker()
    around = Surroundings(broker.transport(), clock, NoTails(), None, threading.Event(), dead)
    settings = FleetSettings(folder=tmp_path / "fleet", gateway=GatewaySettings(port=0))
    fleet = open_fleet(settings, around)
    fleet.start()
    stopping = threading.Event()
    # Else the stream of the live page would never end.
    stopping.set()
    yield create_app(Backstage(database, healthy, clock=clock, services=[fleet], stopping=stopping))
    fleet.stop()


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description, with what pages have too: they are in no OpenAPI."""
    pages = ("/", "/sign-in", "/inspections/{device}/{boot}/{sequence}", "/fleet", "/releases")
    found = [
        (method, path, told)
        for path, one in app.openapi()["paths"].items()
        for method, told in one.items()
    ]
    return [*found, *(("get", path, {}) for path in pages)]


def body(description: dict[str, Any], schemas: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Something that has some of the fields that are wanted, or none."""
    content = description.get("requestBody", {}).get("content", {})
    named = content.get("application/json", {}).get("schema", {}).get("$ref", "").split("/")[-1]
    fields = sorted(schemas.get(named, {}).get("properties", {}))
    if not fields:
        return JSON
    return JSON | st.dictionaries(st.sampled_from(fields), JSON, max_size=len(fields))


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_comes_is_answered_and_never_with_a_500(app: FastAPI, data: st.DataObject) -> None:
    method, path, told = data.draw(st.sampled_from(operations(app)))
    for part in path.split("/"):
        if part.startswith("{"):
            path = path.replace(part, quote(data.draw(VALUES), safe=""))
    query = {
        one["name"]: data.draw(VALUES)
        for one in told.get("parameters", ())
        if one["in"] == "query" and data.draw(st.booleans())
    }
    options: dict[str, Any] = {"params": query}
    if method != "get":
        given = data.draw(body(told, app.openapi()["components"]["schemas"]))
        options["content"] = json.dumps(given).encode()
        options["headers"] = {"content-type": "application/json"}
    answer = Caller(app, BASE).request(method.upper(), path, **options)
    assert answer.status_code < 500, (method, path, query, answer.text)


@pytest.mark.parametrize(
    "path",
    [
        "/inspections/box-1/b1/99999999999999999999",
        "/api/v1/inspections/box-1/b1/99999999999999999999",
        "/api/v1/inspections/box-1/b1/99999999999999999999/map.png",
        "/api/v1/inspections/box-1/b1/1/map.png?x=%00",
        "/api/v1/inspections/%00/b1/1",
        "/api/v1/inspections?lot=%00",
        "/api/v1/inspections?since=nan&until=inf",
        "/api/v1/summary?since=1e308",
        "/api/v1/inspections?cursor=lMtB2mtJ0gAAAKFhoWLP__________8",
    ],
)
def test_a_number_or_text_that_no_database_keeps_is_the_callers_mistake(
    app: FastAPI, path: str
) -> None:
    assert Caller(app, BASE).get(path).status_code in {200, 404, 422}


def test_pages_are_shown_whatever_time_a_box_once_said(app: FastAPI) -> None:
    client = Caller(app, BASE)
    for path in (
        "/",
        "/inspections/box-1/b1/1",
        "/api/v1/inspections",
        "/api/v1/devices",
        "/fleet",
    ):
        assert client.get(path).status_code == 200, path
