"""The page of a part: what it tells of whom, and what it keeps back."""

from __future__ import annotations

import pytest

from cloud.app import create_app
from cloud.dashboard.ruler import rulers
from cloud.dashboard.timeline import timeline
from cloud.pictures.base import PictureRules
from cloud.records.database import Database
from cloud.records.neighbours import PartNeighbours
from cloud.records.queries import Records
from cloud.records.store import RecordStore
from cloud.records.views import InspectionView
from cloud.web.context import Backstage
from shared.bundles.bundle import Bundle
from shared.certification.promises import GateSpec
from shared.contracts import InspectionKey
from tests.cloud.makers import NOON, device, inspection, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import BASE, healthy

SENT = {"decision": "escalate", "verdict": "reject", "decided_by": "cloud", "escalated_bytes": 400}
GATE = GateSpec(
    pass_below=0.2, reject_from=0.8, tail_weight=1.0, cloud_pass_below=0.3, cloud_reject_from=0.6
)


def seen(database: Database, sequence: int, device_name: str = "box-1") -> InspectionView:
    view = Records(database).inspection(InspectionKey(device_name, "b1", sequence))
    assert view is not None
    return view


@pytest.fixture
def page(database: Database, bundle: Bundle) -> Caller:
    rows = [
        inspection(1),
        inspection(2, bundle=bundle.id, head_ms=1.5, sent_ms=4.0, answered_ms=20.0, **SENT),
        inspection(3, control="reject", verdict="review"),
    ]
    RecordStore(database).save(rows, [tail(2), tail(3, verdict="reject")], [device()])
    app = create_app(Backstage(database, healthy, bundles=lambda: [bundle]))
    return Caller(app, BASE)


def test_a_part_says_where_its_score_lies_and_when_it_was_where(page: Caller) -> None:
    html = page.get("/inspections/box-1/b1/2").text
    assert "Head and tail together" in html
    assert "pass below <strong>0.200</strong>" in html
    assert "The cloud&#39;s answer is at the box" in html or "cloud's answer is at the box" in html
    assert "the head took 1.5 ms" in html


def test_of_a_bundle_that_is_not_served_no_marks_are_made_up(page: Caller) -> None:
    html = page.get("/inspections/box-1/b1/1").text
    assert "the marks of its gate are not known here" in html
    assert "<svg width" not in html


def test_a_part_that_waits_for_a_person_shows_nothing_that_would_lead_them(page: Caller) -> None:
    html = page.get("/inspections/box-1/b1/3").text
    for leading in ("map.png", "Score and gate", "When it was where", "tail", "map-on"):
        assert leading not in html, leading
    assert "Show the picture" in html


def test_a_part_leads_to_the_ones_before_and_after_it(page: Caller) -> None:
    html = page.get("/inspections/box-1/b1/2").text
    assert 'rel="prev" href="/inspections/box-1/b1/1"' in html
    assert 'rel="next" href="/inspections/box-1/b1/3"' in html
    assert "No part before" in page.get("/inspections/box-1/b1/1").text
    assert page.get("/inspections/box-1/b1/99").status_code == 404


def test_neighbours_are_of_the_same_box_in_the_order_in_which_they_came(
    every_database: Database,
) -> None:
    rows = [
        inspection(1, received_at=NOON),
        # One batch, which came at one moment.
        inspection(2, received_at=NOON + 1),
        inspection(3, received_at=NOON + 1),
        inspection(4, device="box-2", received_at=NOON + 1.5),
        inspection(1, boot="b2", received_at=NOON + 2),
    ]
    RecordStore(every_database).save(rows)
    around = PartNeighbours(every_database)
    before, after = around.around(seen(every_database, 2))
    assert before is not None
    assert after is not None
    assert (before.sequence, after.sequence) == (1, 3)
    _, after = around.around(seen(every_database, 3))
    assert after is not None
    assert (after.boot, after.sequence) == ("b2", 1)
    assert around.around(seen(every_database, 4, "box-2")) == (None, None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ["The camera is triggered", "The gate has decided", "The actuator is told: pass"]),
        (
            {"verdict": "reject", "decided_by": "deadline"},
            ["The camera", "The gate", "The deadline has passed"],
        ),
        (
            {**SENT, "sent_ms": 3.0, "answered_ms": 9.0},
            ["The camera", "The gate", "Its features", "The cloud's answer", "The actuator"],
        ),
    ],
)
def test_a_timeline_tells_what_was_written_down_and_nothing_else(
    database: Database, changes: dict[str, object], told: list[str]
) -> None:
    RecordStore(database).save([inspection(1, **changes)])
    steps = timeline(seen(database, 1))
    assert len(steps) == len(told)
    for step, begins in zip(steps, told, strict=True):
        assert step.what.startswith(begins)
    moments = [step.at for step in steps if step.at is not None]
    assert moments[0] == 0.0


def test_what_the_cloud_did_lies_between_and_has_no_moment_of_the_boxs_clock(
    database: Database,
) -> None:
    RecordStore(database).save([inspection(1, sent_ms=3.0, answered_ms=30.0, **SENT)], [tail(1)])
    steps = timeline(seen(database, 1))
    inside = [step for step in steps if step.at is None]
    assert [step.within for step in inside] == [
        "1.0 ms after its features came",
        "for 2.0 ms",
        "4.0 ms after its features came",
    ]
    (answer,) = [step for step in steps if step.what.startswith("The cloud's answer")]
    assert answer.within == "there and back took 23 ms beside that"


def test_a_ruler_has_the_gates_marks_and_the_score_between_them(database: Database) -> None:
    RecordStore(database).save([inspection(1, score=0.5), inspection(2, score=None)], [tail(1)])
    head, both = rulers(seen(database, 1), GATE)
    assert [zone.what for zone in head.zones] == ["pass", "escalate", "reject"]
    assert [zone.what for zone in both.zones] == ["pass", "review", "reject"]
    assert head.place == 50.0
    assert sum(zone.width for zone in head.zones) == pytest.approx(96.0)
    (alone,) = rulers(seen(database, 2), GATE.model_copy(update={"escalates": False}))
    assert alone.place is None
    assert [zone.what for zone in alone.zones] == ["pass", "review", "reject"]
    assert rulers(seen(database, 1), None) == []


@pytest.mark.parametrize(
    ("rules", "changes", "said"),
    [
        (PictureRules("never"), {}, "This cloud shows no pictures of plant"),
        (PictureRules(), {"digest": "none"}, "has kept no picture of this part"),
        (PictureRules("region"), {}, "its most suspicious place"),
        (PictureRules(reasons=True), {}, 'autocomplete="off" required'),
        (PictureRules(at_once=True), {}, "data-at-once"),
    ],
)
def test_the_page_says_what_may_be_seen_before_anybody_asks(
    database: Database, rules: PictureRules, changes: dict[str, str], said: str
) -> None:
    RecordStore(database).save([inspection(1, **changes)], [], [device()])
    app = create_app(Backstage(database, healthy, picture_rules=rules))
    assert said in Caller(app, BASE).get("/inspections/box-1/b1/1").text
