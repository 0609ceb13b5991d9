"""What inspectors say by the API and by forms, and what they are answered."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pytest

from cloud.app import create_app
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from shared.clock import ManualClock
from tests.cloud.makers import NOON, inspection, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import healthy

PART = "/api/v1/inspections/box-1/b1/1"


@pytest.fixture
def client(database: Database) -> Caller:
    waits = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}
    RecordStore(database).save([inspection(n, **waits) for n in (1, 2, 3)], [tail(1)])
    clock = ManualClock(utc=NOON + 60)
    return Caller(create_app(Backstage(database, healthy, clock=clock)), "http://127.0.0.1")


def drawn(shape: tuple[int, ...] = (40, 60, 4)) -> str:
    picture = np.zeros(shape, np.uint8)
    picture[10:20, 10:30] = 255
    return base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()


def test_a_label_is_kept_with_why_and_with_what_was_drawn(client: Caller) -> None:
    said = {"verdict": "reject", "kind": "crack", "inspector": "ada", "why": "at the edge"}
    answer = client.put(f"{PART}/review", json={**said, "drawing": drawn()})
    assert answer.json()["review"]["verdict"] == "reject"
    (entry,) = client.get(f"{PART}/labels").json()
    assert (entry["why"], entry["drawn"], entry["stands"]) == ("at the edge", True, True)
    picture = client.get(f"{PART}/labels/{entry['number']}/drawing.png")
    mask = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert (mask.shape, int((mask > 0).sum())) == ((40, 60), 200)
    assert client.get(f"{PART}/labels/99/drawing.png").status_code == 404


def test_labels_of_several_parts_are_said_and_taken_back_at_once(client: Caller) -> None:
    parts = [{"device": "box-1", "boot": "b1", "sequence": n, "verdict": "pass"} for n in (1, 2)]
    said = client.post("/api/v1/labels", json={"labels": parts, "inspector": "ada"}).json()
    assert [one["stands"]["verdict"] for one in said] == ["pass", "pass"]
    numbers = [one["number"] for one in said]
    undone = client.post(
        "/api/v1/labels/undo", json={"numbers": numbers, "inspector": "ada"}
    ).json()
    assert [one["stands"] for one in undone] == [None, None]
    assert client.get(PART).json()["verdict"] == "review"
    assert client.get(f"{PART}/labels").json()[0]["undone_by"] == "ada"


def test_of_several_labels_all_are_kept_or_none(client: Caller) -> None:
    parts = [{"device": "box-1", "boot": "b1", "sequence": n, "verdict": "pass"} for n in (1, 99)]
    answer = client.post("/api/v1/labels", json={"labels": parts, "inspector": "ada"})
    assert (answer.status_code, "box-1/b1/99" in answer.json()["error"]) == (404, True)
    assert client.get(f"{PART}/labels").json() == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"verdict": "pass", "kind": "crack"}, "no kind of defect"),
        ({"verdict": "pass", "drawing": drawn()}, "leave out `drawing`"),
        ({"drawing": "no base64"}, "drawing"),
        ({"drawing": base64.b64encode(b"no picture").decode()}, "it is no PNG"),
        ({"drawing": drawn((600, 10))}, "10 × 600 pixels came"),
        ({"drawing": drawn((5, 5))}, "nothing is drawn"),
        ({"why": "x" * 501}, "why"),
        ({"verdict": "review"}, "verdict"),
        ({"seen": -1}, "seen"),
        ({"kind": "a\0b"}, "kind"),
    ],
)
def test_a_label_that_cannot_be_is_refused_with_what_is_wrong(
    client: Caller, more: dict[str, Any], said: str
) -> None:
    answer = client.put(f"{PART}/review", json={"verdict": "reject", "inspector": "ada", **more})
    assert (answer.status_code, said in answer.json()["error"]) == (422, True)
    assert client.get(f"{PART}/labels").json() == []


def test_a_form_labels_what_is_chosen_and_leads_back_with_what_can_be_taken_back(
    client: Caller,
) -> None:
    form = {"part": ["box-1/b1/1", "box-1/b1/2"], "verdict": "reject", "kind": "crack"}
    sent = {**form, "inspector": "ada", "back": "/review?line=line-1&said=7"}
    answer = client.post("/review/labels", data=sent)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/review?line=line-1&said=1%2C2",
    )
    answer = client.post("/review/undo", data={"number": "1,2", "inspector": "ada", "back": "/"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert client.get(f"{PART}/labels").json()[0]["undone_by"] == "ada"


@pytest.mark.parametrize("back", ["//evil.example/", "https://evil.example/x", "evil", ""])
def test_a_form_leads_to_no_other_site(client: Caller, back: str) -> None:
    form = {"part": "box-1/b1/1", "verdict": "pass", "inspector": "ada", "back": back}
    answer = client.post("/review/labels", data=form)
    assert answer.headers["location"].partition("?")[0] in ("/review", "/x")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"verdict": "pass"}, "0 parts are chosen"),
        ({"part": "box-1/b1", "verdict": "pass"}, "names no part"),
        ({"part": "box-1/b1/0", "verdict": "pass"}, "names no part"),
        ({"part": "box-1/b1/" + "9" * 30, "verdict": "pass"}, "names no part"),
        ({"part": "box-1/b1/1"}, "verdict"),
        ({"part": "box-1/b1/1", "verdict": "pass", "inspector": ""}, "inspector"),
        ({"part": "box-1/b1/1", "verdict": "pass", "why": "x" * 70_000}, "too long"),
    ],
)
def test_a_form_that_cannot_be_is_refused(client: Caller, form: dict[str, Any], said: str) -> None:
    answer = client.post("/review/labels", data={"inspector": "ada", **form})
    assert (answer.status_code, said in answer.text) == (422, True)
