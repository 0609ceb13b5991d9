"""Looking at pictures over HTTP: who may, what is written down first, and that nothing stays."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from cloud.app import create_app
from cloud.inference.defect_maps import map_png
from cloud.pictures.base import (
    BadAnswer,
    BoxBusy,
    BoxSilent,
    PictureGone,
    PictureKept,
    PictureRules,
    ScriptedPictures,
    ShownPicture,
)
from cloud.pictures.fetch import BoxPictures, FetchLimits
from cloud.pictures.store import FORGOTTEN_S, PictureRequests, WantedPicture
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.store import RecordStore
from cloud.web.api_version import VersionedApi
from cloud.web.context import Backstage
from cloud.web.pictures import PictureDesk, picture_routes
from cloud.web.problems import handle_problems
from shared.clock import ManualClock
from shared.contracts import InspectionKey, PictureKind
from shared.errors import PictureError
from shared.transport.memory import MemoryBroker
from shared.web.access import Caller as Person
from shared.web.access import FixedAccess
from shared.web.audit import RecordingTrail
from tests.cloud.makers import NOON, device, inspection, label, tail
from tests.cloud.pictures.box import ScriptedBox, digest, piece, png
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import BASE, healthy

KEY = InspectionKey("box-1", "b1", 1)
PATH = "/api/v1/inspections/box-1/b1/1"
CONTENT = png(40)
GREY = map_png(np.full((8, 8), 0.7, np.float32))


def shown(what: PictureKind = "full", content: bytes = CONTENT) -> ShownPicture:
    window = (0, 0, 10, 10) if what == "region" else ()
    return ShownPicture(KEY, what, content, "image/png", "a" * 64, (40, 40), window, "tiny 1.0.0")


class Desk:
    """A cloud with one part of box-1, and what its box answers."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        RecordStore(database).save([inspection(1, digest="d" * 16)], [], [device()])

    def client(
        self,
        answers: Mapping[PictureKind, ShownPicture | PictureError] | None = None,
        rules: PictureRules | None = None,
    ) -> Caller:
        answers = {"full": shown()} if answers is None else answers
        self.pictures = ScriptedPictures({(KEY, what): one for what, one in answers.items()})
        backstage = Backstage(
            self.database,
            healthy,
            clock=self.clock,
            pictures=self.pictures,
            picture_rules=rules or PictureRules(),
        )
        return Caller(create_app(backstage), BASE)

    def seen(self) -> list[dict[str, Any]]:
        """What the audit log says of looks, oldest first."""
        with self.database.begin() as connection:
            rows = connection.exec_driver_sql(
                "SELECT who, what, subject, after FROM audit ORDER BY number"
            ).mappings()
            return [dict(row) for row in rows if row["what"] == "picture seen"]


@pytest.fixture
def desk(every_database: Database) -> Desk:
    return Desk(every_database, ManualClock(utc=NOON + 60))


def test_a_look_shows_the_picture_and_is_written_down_with_its_reason(desk: Desk) -> None:
    answer = desk.client().get(f"{PATH}/picture", params={"reason": "customer asks"})
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-picture-what"] == "full"
    (entry,) = desk.seen()
    assert entry["who"] == "this machine"
    assert entry["subject"] == "box-1/b1/1"
    assert "customer asks" in entry["after"]


def test_nothing_is_shown_that_can_not_be_written_down(desk: Desk) -> None:
    client = desk.client()
    with desk.database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    answer = client.get(f"{PATH}/picture")
    assert answer.status_code == 503
    assert CONTENT not in answer.content


def test_the_entry_is_there_before_the_first_byte(desk: Desk) -> None:
    """Byte by byte, as a server sends it."""
    client = desk.client()
    seen: list[tuple[str, int]] = []

    async def watched() -> None:
        async def send(message: Any) -> None:
            seen.append((message["type"], len(desk.seen())))

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "path": f"{PATH}/picture",
            "raw_path": f"{PATH}/picture".encode(),
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "root_path": "",
            "http_version": "1.1",
        }
        await client._app(scope, receive, send)

    asyncio.run(watched())
    assert [kind for kind, _ in seen][:2] == ["http.response.start", "http.response.body"]
    assert all(entries == 1 for _, entries in seen)


@pytest.mark.parametrize(
    ("rules", "asked", "status", "fetched"),
    [
        (PictureRules("never"), {}, 403, []),
        (PictureRules("full", {"plant": "never"}), {}, 403, []),
        (PictureRules("never", {"plant": "full"}), {}, 200, ["full"]),
        (PictureRules("region"), {"what": "full"}, 403, []),
        (PictureRules("region"), {}, 200, ["region"]),
        (PictureRules("full"), {"what": "region"}, 200, ["region"]),
        (PictureRules(reasons=True), {}, 422, []),
        (PictureRules(reasons=True), {"reason": " "}, 422, []),
        (PictureRules(reasons=True), {"reason": "audit"}, 200, ["full"]),
        (PictureRules(), {"what": "map"}, 422, []),
        (PictureRules(), {"why": "x"}, 422, []),
    ],
)
def test_the_clouds_own_policy_asks_no_box_for_more_than_it_shows(
    desk: Desk, rules: PictureRules, asked: dict[str, str], status: int, fetched: list[str]
) -> None:
    client = desk.client({"full": shown(), "region": shown("region")}, rules)
    answer = client.get(f"{PATH}/picture", params=asked)
    assert answer.status_code == status
    assert [what for _, what in desk.pictures.asked] == fetched
    assert len(desk.seen()) == len(fetched)


def test_a_box_that_gives_only_a_region_is_asked_for_that(desk: Desk) -> None:
    kept = PictureKept("box-1 keeps its pictures", fix="see there", policy="region")
    client = desk.client({"full": kept, "region": shown("region")})
    answer = client.get(f"{PATH}/picture")
    assert answer.headers["x-picture-window"] == "0,0,10,10"
    assert client.get(f"{PATH}/picture", params={"what": "full"}).status_code == 403
    never = PictureKept("box-1 keeps its pictures", fix="see there", policy="never")
    refused = desk.client({"full": never}).get(f"{PATH}/picture")
    assert (refused.status_code, refused.json()["fix"]) == (403, "see there")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadAnswer("box-1 was asked for b1/1 and answers with b1/2", fix="see there"), 502),
        (PictureGone("box-1 has it no more", fix="see there"), 410),
        (BoxBusy("box-1 gives others", fix="again"), 429),
        (BoxSilent("box-1 does not answer", fix="see there"), 504),
    ],
)
def test_why_there_is_no_picture_is_told_and_no_look_is_written_down(
    desk: Desk, error: PictureError, status: int
) -> None:
    answer = desk.client({"full": error}).get(f"{PATH}/picture")
    assert answer.status_code == status
    assert error.message in answer.json()["error"]
    assert desk.seen() == []


def test_a_request_to_a_box_that_is_away_is_kept_until_it_was_seen(desk: Desk) -> None:
    RecordStore(desk.database).save(devices=[device(state="offline")])
    away = desk.client({})
    answer = away.get(f"{PATH}/picture", params={"reason": "r"})
    assert answer.status_code == 504
    assert "kept until it is back" in answer.json()["fix"]
    state = away.get(f"{PATH}/picture/state").json()
    assert (state["state"], state["asked_at"]) == ("away", NOON + 60)
    RecordStore(desk.database).save(devices=[device(state="online", at=NOON + 90)])
    # Another worker of the cloud, on the same database.
    back = desk.client()
    assert back.get(f"{PATH}/picture/state").json()["state"] == "ready"
    assert back.get(f"{PATH}/picture").content == CONTENT
    assert back.get(f"{PATH}/picture/state").json()["asked_at"] is None


def test_a_picture_that_is_fetched_ahead_is_written_down_as_that_and_leaves_no_request(
    desk: Desk,
) -> None:
    ahead = {"reason": "review", "ahead": "true"}
    RecordStore(desk.database).save(devices=[device(state="offline")])
    assert desk.client({}).get(f"{PATH}/picture", params=ahead).status_code == 504
    requests = PictureRequests(desk.database)
    assert not requests.waiting([KEY], "this machine")
    # What somebody waits for at the part's own page they still wait for.
    requests.keep(KEY, "this machine", WantedPicture("full", "", NOON))
    RecordStore(desk.database).save(devices=[device(state="online", at=NOON + 90)])
    client = desk.client()
    assert client.get(f"{PATH}/picture", params=ahead).content == CONTENT
    assert requests.waiting([KEY], "this machine")
    client.get(f"{PATH}/picture", params={"reason": "review"})
    told = [json.loads(entry["after"]) for entry in desk.seen()]
    assert [(one["reason"], one.get("ahead")) for one in told] == [
        ("review", True),
        ("review", None),
    ]


def test_requests_are_a_persons_own_and_are_forgotten_after_a_week(
    every_database: Database,
) -> None:
    requests = PictureRequests(every_database)
    requests.keep(KEY, "ada", WantedPicture("full", "old", 1.0))
    requests.keep(KEY, "ada", WantedPicture("full", "new", 2.0))
    assert requests.waiting([KEY], "ada") == {KEY: ("full", "new", 2.0)}
    assert not requests.waiting([KEY], "bob")
    requests.keep(KEY, "bob", WantedPicture("region", "", 3.0 + FORGOTTEN_S))
    assert not requests.waiting([KEY], "ada")
    requests.drop(KEY, "bob")
    assert not requests.waiting([KEY], "bob")


@pytest.mark.parametrize(
    ("rules", "changes", "state"),
    [
        (PictureRules("never"), {}, "kept"),
        (PictureRules(), {"digest": "none"}, "none"),
        (PictureRules(), {"digest": ""}, "ready"),
    ],
)
def test_whether_there_is_a_picture_is_known_without_asking_its_box(
    database: Database, rules: PictureRules, changes: dict[str, str], state: str
) -> None:
    RecordStore(database).save([inspection(1, **changes)], [], [device()])
    app = create_app(Backstage(database, healthy, picture_rules=rules))
    assert Caller(app, BASE).get(f"{PATH}/picture/state").json()["state"] == state


def test_a_viewer_may_not_look_and_another_sites_page_has_nobody_look(desk: Desk) -> None:
    client = desk.client()
    foreign = {"sec-fetch-site": "cross-site"}
    assert client.get(f"{PATH}/picture", headers=foreign).status_code == 403
    assert desk.seen() == []
    trail = RecordingTrail()
    rooms = PictureDesk(
        Records(desk.database),
        PictureRequests(desk.database),
        desk.pictures,
        PictureRules(),
        desk.clock,
    )
    app = FastAPI()
    handle_problems(app)
    app.include_router(picture_routes(rooms, trail))
    viewer = VersionedApi(FixedAccess(app, Person("eve", "viewer"), trail))
    for path in ("picture", "picture/state", "heat.png"):
        answer = Caller(viewer, BASE).get(f"{PATH}/{path}")
        assert answer.status_code == 403, path
    assert trail.entries == []


def test_the_tails_map_is_laid_over_and_the_heads_is_asked_of_the_box(desk: Desk) -> None:
    RecordStore(desk.database).save([inspection(2)], [tail(2)], [])
    client = desk.client({"map": shown("map", GREY)})
    ours = client.get("/api/inspections/box-1/b1/2/heat.png")
    assert ours.headers["content-type"] == "image/png"
    heads = client.get(f"{PATH}/heat.png", params={"of": "head"})
    assert heads.status_code == 200
    assert heads.headers["x-picture-bundle"] == "tiny 1.0.0"
    assert client.get(f"{PATH}/heat.png").status_code == 404
    assert desk.seen() == []


def test_a_part_that_waits_for_a_person_shows_no_map_and_its_picture_all_the_same(
    desk: Desk,
) -> None:
    RecordStore(desk.database).save([inspection(3, control="reject", verdict="review")])
    key = InspectionKey("box-1", "b1", 3)
    client = desk.client({"map": shown("map", GREY)})
    desk.pictures.answers[key, "full"] = shown()
    desk.pictures.answers[key, "map"] = shown("map", GREY)
    path = "/api/inspections/box-1/b1/3"
    assert client.get(f"{path}/heat.png", params={"of": "head"}).status_code == 403
    assert client.get(f"{path}/picture").status_code == 200
    RecordStore(desk.database).label(label(3))
    assert client.get(f"{path}/heat.png", params={"of": "head"}).status_code == 200


def test_nothing_of_a_picture_is_in_the_database_nor_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "records.db"
    database = Database(f"sqlite:///{file}")
    database.migrate()
    content = png(80, seed=9)
    RecordStore(database).save([inspection(1, digest=digest(content))], [], [device()])
    broker = MemoryBroker()
    ScriptedBox(broker, lambda asked: [piece(asked, content)])
    transport = broker.transport()
    pictures = BoxPictures(transport, "cloud-1", FetchLimits())
    pictures.listen()
    transport.start()
    client = Caller(create_app(Backstage(database, healthy, pictures=pictures)), BASE)
    assert client.get(f"{PATH}/picture").content == content
    assert client.get(f"{PATH}/picture").content == content
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(FULL)")
    parts = [content[at : at + 32] for at in range(0, len(content) - 32, 97)]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            kept = path.read_bytes()
            assert not any(one in kept for one in parts), path
    assert not pictures._waiting
    database.close()
