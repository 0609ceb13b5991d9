"""The API and the pages, as programs and browsers use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from cloud.records.database import Database
from cloud.web.admission import AccessMiddleware
from cloud.web.api_version import VersionedApi
from cloud.web.problems import handle_problems
from fleet.client.cloud_api import CloudApi
from fleet.rollouts.pages import fleet_page
from fleet.rollouts.requests import parse_settings
from fleet.rollouts.routes import device_routes, rollout_routes
from fleet.storage.database import FleetDatabase
from fleet.storage.tables import FleetTable
from shared.errors import RolloutError, SettingsError
from shared.web.access import Caller as Identity
from tests.cloud.web.caller import Caller, access_to, include
from tests.fleet.rollouts.plant import NEW, Plant
from tests.support.databases import place_migrated

TOKEN = "secret of the plant"  # noqa: S105
GATED = {
    "rings": [
        {"name": "canary", "devices": 1},
        {"name": "all", "share": 1.0, "approval": True},
    ]
}


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    made = Plant(tmp_path, 6)
    made.start_devices()
    return made


def app_of(plant: Plant, token: str | None = None) -> FastAPI:
    app = FastAPI()
    handle_problems(app)
    app.include_router(rollout_routes(plant.conductor))
    app.include_router(device_routes(plant.conductor, plant.clock))
    include(app, fleet_page(plant.conductor), plant.clock)
    records = Database(f"sqlite:///{place_migrated(Database, plant.folder / 'records.db')}")
    app.add_middleware(AccessMiddleware, access=access_to(records, plant.clock, token))
    app.add_middleware(VersionedApi)
    return app


@pytest.fixture
def client(plant: Plant) -> Caller:
    return Caller(app_of(plant), "http://127.0.0.1")


def start(client: Caller, **more: Any) -> httpx.Response:
    return client.post("/api/fleet/rollouts", json={"target": NEW, "by": "ada", **more})


def test_a_rollout_is_started_paused_resumed_approved_and_done(
    client: Caller, plant: Plant
) -> None:
    begun = start(client, plan=GATED)
    assert begun.status_code == 201
    assert begun.json()["state"] == "running"
    assert (
        client.post("/api/fleet/rollouts/1/pause", json={"by": "bob"}).json()["state"] == "paused"
    )
    assert client.post("/api/fleet/rollouts/1/resume", json={"by": "bob"}).json()["reason"] == ""
    plant.rounds(3)
    assert client.get("/api/fleet/rollouts/1").json()["state"] == "gated"
    assert client.post("/api/fleet/rollouts/1/approve", json={"by": "eve"}).status_code == 200
    plant.rounds(3)
    view = client.get("/api/fleet/rollouts").json()[0]
    assert (view["state"], view["committed"], view["touched"]) == ("done", 6, 1.0)
    assert [ring["approved_by"] for ring in view["rings"]] == ["", "eve"]


def test_an_aborted_rollout_gives_everything_back(client: Caller, plant: Plant) -> None:
    start(client)
    plant.rounds(2)
    said = client.post("/api/fleet/rollouts/1/abort", json={"by": "ada", "reason": "wrong line"})
    assert said.json()["state"] == "returning"
    plant.rounds(3)
    detail = client.get("/api/fleet/rollouts/1").json()
    assert detail["state"] == "stopped"
    assert {m["phase"] for m in detail["members"]} == {"returned", "waiting"}
    again = client.post("/api/fleet/rollouts/1/resume", json={"by": "ada"})
    assert again.status_code == 409
    assert "aborted by ada: wrong line" in again.json()["error"]
    assert again.json()["fix"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"target": NEW}, "by: nobody says who it is"),
        ({"target": NEW, "by": "  "}, "at least 1 character"),
        ({"by": "ada"}, "target: Field required"),
        ({"target": NEW, "by": "ada", "plan": {"rings": []}}, "at least 1 item"),
        (
            {
                "target": NEW,
                "by": "ada",
                "plan": {"rings": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.1}]},
            },
            "shares must ascend, they are 0.5, 0.1",
        ),
        ({"target": NEW, "by": "ada", "plan": {"ring": []}}, "Extra inputs"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(
    client: Caller, body: dict[str, Any], told: str
) -> None:
    answer = client.post("/api/fleet/rollouts", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["error"]


def test_what_can_not_be_is_refused_in_words(client: Caller) -> None:
    assert client.get("/api/fleet/rollouts/7").status_code == 404
    start(client)
    twice = start(client, target="models/m/3.zip")
    assert twice.status_code == 409
    assert "rollout 1" in twice.json()["error"]
    unknown = client.post(
        "/api/fleet/settings", json={"device": "box-77", "settings": {"a": 1}, "by": "ada"}
    )
    assert unknown.status_code == 404
    assert "no devices are called box-77" in unknown.json()["error"]


def test_settings_are_checked_in_shape_and_the_devices_no_is_shown(
    client: Caller, plant: Plant
) -> None:
    for key in ("Deadline", "a..b", "api.token", "x" * 101):
        answer = client.post(
            "/api/fleet/settings", json={"device": "box-1", "settings": {key: 1}, "by": "ada"}
        )
        assert answer.status_code == 422, key
    body = {"device": "box-1", "settings": {"deadline_msec": 400}, "by": "ada"}
    assert client.post("/api/fleet/settings", json=body).json()[0]["what"] == (
        "settings: deadline_msec=400"
    )
    device = plant.devices["box-1"]
    device.failed = {"settings/0b": "deadline_msec is not a setting (did you mean deadline_ms?)"}
    device.report()
    plant.conductor.tick()
    shadow = client.get("/api/fleet/shadow", params={"device": "box-1"}).json()
    assert "did you mean deadline_ms" in shadow["history"][0]["what"]
    assert shadow["desired"]["settings"] == {"deadline_msec": 400}
    assert "did you mean deadline_ms" in client.get("/fleet").text


def test_key_value_words_are_read_as_yaml() -> None:
    words = ["deadline_ms=400", "camera.fps=12.5", "frozen=true", "journal.path=a=b", "note="]
    assert parse_settings(words) == {
        "deadline_ms": 400,
        "camera.fps": 12.5,
        "frozen": True,
        "journal.path": "a=b",
        "note": "",
    }
    for word in ("deadline_ms", "=4", "broker.password=x", "Upper=1"):
        with pytest.raises(SettingsError):
            parse_settings([word])


def test_health_lists_every_device(client: Caller, plant: Plant) -> None:
    plant.devices["box-3"].report(temperature_c=48.0)
    plant.conductor.tick()
    rows = client.get("/api/fleet/health").json()
    assert [row["device"] for row in rows] == sorted(plant.devices)
    assert rows[3]["temperature_c"] == 48.0


# ---- pages


def test_the_page_shows_rings_devices_and_reasons(client: Caller, plant: Plant) -> None:
    assert "No rollout yet" in client.get("/fleet").text
    start(client, plan=GATED)
    plant.rounds(3)
    page = client.get("/fleet").text
    for text in ("canary", "needs an approval", "waits for approval", "box-3", "Approve ring all"):
        assert text in page
    assert "<script>" not in page
    assert " style=" not in page
    detail = client.get("/fleet/rollouts/1").text
    assert "keeps the release" in detail
    assert client.get("/fleet/rollouts/1/part").status_code == 200
    assert "model: models/m/2.zip" in client.get("/fleet/devices/plant/line-1/box-0").text or (
        "Nothing has changed yet" in client.get("/fleet/devices/plant/line-1/box-0").text
    )


def test_what_is_not_there_is_said_on_the_page(client: Caller) -> None:
    for path in ("/fleet/rollouts/9", "/fleet/devices/a/b/c", "/fleet/fleet.txt"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert 'role="alert"' in answer.text
    assert client.get("/fleet/fleet.css").headers["content-type"].startswith("text/css")
    assert "javascript" in client.get("/fleet/fleet.js").headers["content-type"]


def test_buttons_are_forms_that_say_who(client: Caller, plant: Plant) -> None:
    start(client)
    done = client.post(
        "/fleet/rollouts/1", data={"by": "ada", "do": "pause"}, follow_redirects=False
    )
    assert (done.status_code, done.headers["location"]) == (303, "/fleet")
    assert plant.conductor.find(1).rollout.reason == "paused by ada"
    refused = client.post("/fleet/rollouts/1", data={"by": "ada", "do": "approve"})
    assert refused.status_code == 409
    assert "no ring waits for an approval" in refused.text
    nameless = client.post("/fleet/rollouts/1", data={"by": " ", "do": "resume"})
    assert "nobody says who it is" in nameless.text
    assert client.post("/fleet/rollouts/1", content=b"by=" + b"x" * 9000).status_code == 409


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://elsewhere.example"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "null"},
    ],
)
def test_a_form_on_somebody_elses_page_does_nothing(
    client: Caller, plant: Plant, headers: dict[str, str]
) -> None:
    start(client)
    answer = client.post("/fleet/rollouts/1", data={"by": "eve", "do": "abort"}, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text
    assert plant.conductor.find(1).rollout.state == "running"


def test_nobody_without_the_token_sees_or_changes_anything(plant: Plant) -> None:
    client = Caller(app_of(plant, TOKEN), "http://127.0.0.1")
    assert client.get("/api/fleet/rollouts").status_code == 401
    assert start(client).status_code == 401
    assert client.post("/fleet/rollouts/1", data={"do": "abort"}).status_code == 401
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/fleet/health", headers=headers).status_code == 200


# ---- who wants it, where people are known


SECRET = "correct horse battery staple"  # noqa: S105 - of these tests
ROOT = Identity("root", "admin", means="command")


class Team:
    """People with accounts, each with a token for rollouts."""

    def __init__(self, plant: Plant, *, people: int) -> None:
        plant.people = people
        plant.open()
        records = Database(f"sqlite:///{place_migrated(Database, plant.folder / 'records.db')}")
        self.access = access_to(records, plant.clock)
        app = FastAPI()
        handle_problems(app)
        app.include_router(rollout_routes(plant.conductor))
        include(app, fleet_page(plant.conductor), plant.clock)
        app.add_middleware(AccessMiddleware, access=self.access)
        self.caller = Caller(app, "http://plant.example")
        self._headers: dict[str, dict[str, str]] = {}
        for name, role in (("ada", "engineer"), ("bob", "engineer"), ("vic", "viewer")):
            self.access.accounts.add(name, role, SECRET, ROOT)  # type: ignore[arg-type]
            token = self.access.tokens.add(name, "a test", ["read", "rollout"], ROOT)
            self._headers[name] = {"authorization": f"Bearer {token}"}

    def post(self, who: str, path: str, **body: Any) -> httpx.Response:
        return self.caller.post(
            f"/api/fleet/rollouts{path}",
            json={"by": "somebody", **body},
            headers=self._headers[who],
        )

    def form(self, who: str, do: str) -> httpx.Response:
        body = {"by": "somebody", "do": do}
        return self.caller.post("/fleet/rollouts/1", data=body, headers=self._headers[who])

    def audited(self) -> list[tuple[str, str, str]]:
        found = [(one.who, one.what, one.subject) for one in self.access.audit.newest(99)]
        return [one for one in reversed(found) if one[1].startswith("rollout")]


def test_who_started_and_approved_is_whose_token_it_was_and_nobody_the_body_names(
    plant: Plant,
) -> None:
    team = Team(plant, people=1)
    assert team.post("vic", "", target=NEW).status_code == 403
    assert team.post("ada", "", target=NEW, plan=GATED).json()["started_by"] == "ada"
    plant.rounds(3)
    assert team.form("bob", "pause").status_code == 303
    assert plant.conductor.find(1).rollout.reason == "paused by bob"
    assert team.post("ada", "/1/resume").status_code == 200
    approved = team.post("bob", "/1/approve").json()
    assert [ring["approved_by"] for ring in approved["rings"]] == ["", "bob"]
    assert team.form("bob", "approve").status_code == 409
    assert team.audited() == [
        ("ada", "rollout start", "/api/fleet/rollouts"),
        ("bob", "rollout pause", "1"),
        ("ada", "rollout resume", "1"),
        ("bob", "rollout approve", "1"),
        ("bob", "rollout approve", "1"),
        ("bob", "rollout approve refused", "1"),
    ]


def test_where_two_people_are_wanted_who_started_a_rollout_can_not_let_it_begin(
    plant: Plant,
) -> None:
    team = Team(plant, people=2)
    begun = team.post("ada", "", target=NEW)
    assert (begun.json()["state"], begun.json()["touched"]) == ("gated", 0.0)
    refused = team.post("ada", "/1/approve")
    assert refused.status_code == 409
    assert "ada started rollout 1, and it takes two people here" in refused.json()["error"]
    assert "two people" in team.form("ada", "approve").text
    assert team.post("bob", "/1/approve").json()["state"] == "running"


def test_where_two_people_are_wanted_nobody_goes_past_a_failing_ring_alone(plant: Plant) -> None:
    team = Team(plant, people=2)
    plan = {"rings": [{"name": "all", "share": 1.0, "errors": 100.0}]}
    team.post("ada", "", target=NEW, plan=plan)
    team.post("bob", "/1/approve")
    for device in plant.devices.values():
        device.obeys = False
        device.failed = {NEW: "it is too slow"}
        device.report()
    plant.rounds(3)
    assert plant.conductor.find(1).rollout.falls_short
    team.post("ada", "/1/pause")
    assert "two people" in team.post("ada", "/1/resume").json()["error"]


def test_two_people_can_not_be_told_apart_where_nobody_is_known(plant: Plant) -> None:
    plant.people = 2
    plant.open()
    client = Caller(app_of(plant), "http://127.0.0.1")
    refused = start(client)
    assert refused.status_code == 403
    assert "nobody knows who this is" in refused.json()["error"]


# ---- the commands' way there


def through(plant: Plant) -> httpx.BaseTransport:
    caller = Caller(app_of(plant), "http://127.0.0.1")

    def answer(request: httpx.Request) -> httpx.Response:
        ask = caller.post if request.method == "POST" else caller.get
        options = {"content": request.content, "headers": dict(request.headers)}
        said = ask(request.url.path, **options)
        return httpx.Response(said.status_code, content=said.content, headers=said.headers)

    return httpx.MockTransport(answer)


def test_commands_get_the_clouds_own_words(plant: Plant) -> None:
    cloud = CloudApi("http://127.0.0.1", transport=through(plant))
    body = {"target": NEW, "plan": {}, "by": "ada"}
    assert cloud.post("rollouts", body)["id"] == 1
    assert cloud.get("rollouts/1")["target"] == NEW
    with pytest.raises(RolloutError, match="can't be approved: it is running") as refused:
        cloud.post("rollouts/1/approve", {"by": "ada"})
    assert refused.value.fix == "no ring waits for an approval"


def test_the_tables_are_what_the_migrations_make(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = FleetDatabase.in_folder(tmp_path)
    database.migrate()
    own = {"shadows", "shadow_changes", "rollouts", "rollout_members"}
    with database.begin() as connection:
        context = MigrationContext.configure(connection)
        differences: list[Any] = compare_metadata(context, FleetTable.metadata)
    told = [str(difference) for difference in differences]
    assert not [text for text in told if any(f"'{table}'" in text for table in own)]
    database.close()
