"""What a served bundle promises, beside what labels of randomly drawn parts say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import event

from cloud.app import create_app
from cloud.health.running_promise import PromiseMonitor
from cloud.records.control_tally import tally_controls
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.web.context import Backstage
from shared.bundles.bundle import Bundle
from shared.certification.certificate import interval
from shared.certification.confidence_sequence import interval_at_any_time
from shared.certification.promises import Certificate
from shared.clock import ManualClock
from shared.contracts import Control, PlainVerdict
from tests.cloud.makers import NOON, inspection, label, tail
from tests.cloud.web.caller import Caller
from tests.cloud.web.test_api import ailing, healthy
from tests.shared.certification.test_promises import certificate

SERVED = "0123456789abcdef"
BASE = "http://127.0.0.1"


@pytest.fixture
def promised(bundle: Bundle) -> Certificate:
    return certificate(bundle).model_copy(
        update={"escape": 0.1, "false_reject": 0.05, "delta": 0.1}
    )


class Line:
    """Stores parts and what an inspector says of them."""

    def __init__(self, database: Database) -> None:
        self._store = RecordStore(database)
        self._parts = 0

    def control(
        self, control: Control, said: PlainVerdict | None, count: int = 1, **changes: Any
    ) -> None:
        """Parts that were drawn, or not where `control` is empty."""
        line = {"verdict": "review"} if control else {}
        for _ in range(count):
            self._parts += 1
            given = {"bundle": SERVED, "control": control, **line, **changes}
            self._store.save([inspection(self._parts, **given)])
            if said is not None:
                self._store.label(label(self._parts, verdict=said, reviewed_at=NOON + self._parts))


def promises(database: Database, given: Certificate | None) -> dict[str, Any]:
    (found,) = PromiseMonitor(database, lambda: {SERVED: given})()
    return found.model_dump()


def test_the_shares_are_of_the_drawn_parts_by_what_they_were(
    every_database: Database, promised: Certificate
) -> None:
    line = Line(every_database)
    line.control("pass", "pass", 12)
    line.control("pass", "reject", 2)
    line.control("reject", "reject", 3)
    line.control("reject", "pass", 1)
    line.control("review", "pass", 4)
    line.control("review", "reject", 5)
    line.control("pass", None, 6)
    found = promises(every_database, promised)
    assert (found["drawn"], found["labelled"]) == (33, 27)
    shares = {
        "escape": (2, 10),
        "false_reject": (1, 17),
        "defective_among_passed": (2, 14),
        "good_among_rejected": (1, 4),
    }
    for name, (seen, parts) in shares.items():
        share = found[name]
        assert (share["seen"], share["parts"]) == (seen, parts)
        low, high = interval_at_any_time(seen, parts, 0.1)
        # What earlier labels have shown of the promised ones stays shown.
        assert share["at_any_time"]["low"] >= low
        assert share["at_any_time"]["high"] == high
        assert tuple(share["one_look"].values()) == interval(seen, parts, 0.1)
    assert found["confidence"] == 0.9
    assert {found[name]["state"] for name in ("escape", "false_reject")} == {"standing"}


def test_labels_that_people_chose_to_give_are_no_sample(
    every_database: Database, promised: Certificate
) -> None:
    line = Line(every_database)
    # Shipped long ago, found out since, and labelled because of it.
    line.control("", "reject", 40)
    line.control("", "pass", 40, verdict="reject")
    # What the system gave to review without a draw.
    line.control("", "reject", 40, verdict="review")
    found = promises(every_database, promised)
    assert (found["state"], found["drawn"], found["labelled"]) == ("unknown", 0, 0)
    assert found["escape"]["at_any_time"] == {"low": 0.0, "high": 1.0}


def test_only_the_bundles_that_are_served_count(
    every_database: Database, promised: Certificate
) -> None:
    Line(every_database).control("pass", "reject", 40, bundle="before")
    assert promises(every_database, promised)["drawn"] == 0
    assert PromiseMonitor(every_database, dict)() == []


def test_an_inspector_who_thinks_again_counts_once(
    every_database: Database, promised: Certificate
) -> None:
    store = RecordStore(every_database)
    Line(every_database).control("pass", "reject")
    assert promises(every_database, promised)["escape"]["seen"] == 1
    store.label(label(1, verdict="pass", inspector="meyer"))
    found = promises(every_database, promised)
    assert (found["escape"]["parts"], found["false_reject"]["parts"]) == (0, 1)
    assert found["labelled"] == 1


@pytest.mark.parametrize(
    ("control", "said", "broken"),
    [("pass", "reject", "escape"), ("reject", "pass", "false_reject")],
)
def test_labels_that_contradict_a_promise_say_so_in_word_and_sign(
    database: Database,
    promised: Certificate,
    control: Control,
    said: PlainVerdict,
    broken: str,
) -> None:
    serves = {SERVED: promised}
    clock = ManualClock(utc=NOON + 60)
    client = Caller(
        create_app(Backstage(database, healthy, clock=clock, serves=lambda: serves)), BASE
    )
    line = Line(database)
    line.control(control, said)
    (found,) = client.get("/api/v1/promise").json()
    assert found["state"] == "standing"
    assert "contradict a promise" not in client.get("/").text
    line.control(control, said, 22)
    clock.advance(60.0)
    (found,) = client.get("/api/v1/promise").json()
    assert (found["state"], found[broken]["state"]) == ("contradicted", "contradicted")
    assert found[broken]["at_any_time"]["low"] > found[broken]["promised"]
    page = client.get("/").text
    assert "Labels contradict a promise of bundle" in page
    assert "contradicted: certify anew" in page
    limit = {"escape": "10 %", "false_reject": "5 %"}[broken]
    assert f"Promised: at most {limit} of" in page
    assert "Seen among control parts: 23 of 23, so between" in page
    assert page.count("Labels contradict the promise: certify anew, on parts of today.") == 1


def test_a_contradicted_promise_is_told_beside_what_else_is_wrong(
    database: Database, promised: Certificate
) -> None:
    Line(database).control("pass", "reject", 23)
    app = create_app(Backstage(database, ailing, serves=lambda: {SERVED: promised}))
    page = Caller(app, BASE).get("/").text
    assert "The broker is away.; and 1 more" in page
    assert "Labels contradict a promise of bundle" in page
    assert page.count("Labels contradict the promise") == 1


@pytest.mark.parametrize("promises_something", [True, False])
def test_nothing_is_known_without_labels_or_without_a_promise(
    database: Database, promised: Certificate, *, promises_something: bool
) -> None:
    given = promised if promises_something else None
    if not promises_something:
        Line(database).control("pass", "reject", 23)
    app = create_app(Backstage(database, healthy, serves=lambda: {SERVED: given}))
    client = Caller(app, BASE)
    (found,) = client.get("/api/v1/promise").json()
    assert found["state"] == "unknown"
    page = client.get("/").text
    assert '<span class="sign" aria-hidden="true">?</span> <strong>nothing known yet' in page
    if promises_something:
        assert "nothing is known yet" in found["escape"]["says"]
        assert "No part was drawn as a control yet" in page
    else:
        assert "Nothing is promised of how many of defective parts pass" in page


def test_a_certificate_of_the_edge_alone_promises_nothing_of_the_whole(
    database: Database, bundle: Bundle
) -> None:
    Line(database).control("pass", "reject", 23)
    found = promises(database, certificate(bundle))
    assert (found["state"], found["escape"]["promised"]) == ("unknown", None)


def test_what_a_drawn_part_would_have_become_is_told_once_an_inspector_has_spoken(
    database: Database,
) -> None:
    client = Caller(create_app(Backstage(database, healthy)), BASE)
    Line(database).control("pass", None)
    page = client.get("/inspections/box-1/b1/1").text
    assert "drawn at random for a person to look at" in page
    assert "The head was sure" not in page
    RecordStore(database).label(label(1, verdict="reject"))
    page = client.get("/inspections/box-1/b1/1").text
    assert "The line says what it would have been without that: pass." in page
    assert "An inspector has settled it since: reject." in page


def test_drawn_parts_are_found_without_reading_all_the_others(database: Database) -> None:
    asked: list[tuple[str, Any]] = []

    def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", keep)
    tally_controls(database, [SERVED])
    event.remove(database.engine, "before_cursor_execute", keep)
    assert len(asked) == 2
    for statement, parameters in asked:
        with database.begin() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        assert "ix_inspections_control" in str(plan)


def test_what_labels_have_once_contradicted_stays_so_until_a_new_certificate(
    database: Database, promised: Certificate
) -> None:
    line = Line(database)
    line.control("pass", "reject", 12)
    assert promises(database, promised)["state"] == "contradicted"
    line.control("reject", "reject", 300)
    found = promises(database, promised)
    assert found["escape"]["seen"] / found["escape"]["parts"] < 0.1
    assert found["state"] == "contradicted"


def test_an_inspector_is_not_shown_what_the_system_made_of_a_drawn_part(
    database: Database,
) -> None:
    clock = ManualClock(utc=NOON + 60)
    app = create_app(Backstage(database, healthy, clock=clock, serves=dict))
    client, store = Caller(app, BASE), RecordStore(database)
    drawn = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}
    found = tail(1, verdict="reject", kind="crack", kind_probability=0.97, score=0.93)
    store.save([inspection(1, control="reject", **drawn)], [found])
    for page in (client.get("/inspections/box-1/b1/1").text, client.get("/").text):
        assert "crack" not in page
        assert "0.93" not in page
        assert "map.png" not in page
    store.label(label(1, verdict="reject"))
    assert "crack" in client.get("/inspections/box-1/b1/1").text


def test_a_part_that_waits_longer_than_the_page_looks_back_is_counted(database: Database) -> None:
    clock = ManualClock(utc=NOON + 7200)
    app = create_app(Backstage(database, healthy, clock=clock, serves=dict))
    RecordStore(database).save([inspection(1, verdict="review", decided_by="edge")])
    live = Caller(app, BASE).get("/").text
    assert re.search(r"To review</dt><dd class=\"figure\"><a [^>]*>1</a>", live)
