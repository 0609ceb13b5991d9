"""Labels that a data set's scores dispute come before another inspector, once."""

from __future__ import annotations

import pytest

from cloud.labels.disputes import DisputeDesk
from cloud.labels.queue import ReviewQueue
from cloud.records.database import Database
from shared.contracts import InspectionKey
from shared.web.access import Caller
from tests.cloud.labels.test_history import Desk

ENGINEER = Caller("eva", "engineer")


def key(sequence: int) -> InspectionKey:
    return InspectionKey("box-1", "b1", sequence)


@pytest.fixture
def desk(every_database: Database) -> Desk:
    return Desk(every_database)


@pytest.fixture
def disputes(desk: Desk, every_database: Database) -> DisputeDesk:
    return DisputeDesk(every_database, desk.audit)


def given(desk: Desk, database: Database, holder: str) -> list[tuple[int, str]]:
    queue = ReviewQueue(database, desk.clock, draw=lambda: 1.0)
    return [(one.key.sequence, one.reason) for one in queue.take(holder, 9)]


def test_a_disputed_label_is_given_to_another_inspector_the_surest_first(
    desk: Desk, disputes: DisputeDesk, every_database: Database
) -> None:
    for sequence in (1, 2, 3):
        desk.say(sequence, "ada", "pass")
    asked = disputes.ask({key(1): 0.7, key(2): 0.9}, ENGINEER)
    assert asked == {key(1): "asked", key(2): "asked"}
    assert given(desk, every_database, "ada") == []
    assert given(desk, every_database, "li")[:2] == [(2, "disputed"), (1, "disputed")]


def test_who_asked_stands_in_the_audit_log(desk: Desk, disputes: DisputeDesk) -> None:
    desk.say(1, "ada", "pass")
    disputes.ask({key(1): 0.7}, ENGINEER)
    entry = desk.audit.newest(1)[0]
    assert (entry.who, entry.what, entry.subject) == ("eva", "dispute", "box-1/b1/1")
    assert entry.after == {"label": "pass", "worth": 0.7}


def test_asking_again_asks_nobody_twice(desk: Desk, disputes: DisputeDesk) -> None:
    desk.say(1, "ada", "pass")
    disputes.ask({key(1): 0.7}, ENGINEER)
    before = len(desk.audit.newest(99))
    assert disputes.ask({key(1): 0.9}, ENGINEER) == {key(1): "waiting"}
    assert len(desk.audit.newest(99)) == before


def test_what_two_inspectors_agree_on_is_settled(
    desk: Desk, disputes: DisputeDesk, every_database: Database
) -> None:
    desk.say(1, "ada", "pass")
    disputes.ask({key(1): 0.7}, ENGINEER)
    desk.say(1, "li", "pass", seen=0)
    assert disputes.ask({key(1): 0.9}, ENGINEER) == {key(1): "settled"}
    assert (1, "disputed") not in given(desk, every_database, "kim")


def test_a_part_without_a_label_here_has_nothing_to_dispute(
    desk: Desk, disputes: DisputeDesk, every_database: Database
) -> None:
    assert disputes.ask({key(1): 0.9, key(99): 0.9}, ENGINEER) == {
        key(1): "unlabelled",
        key(99): "unlabelled",
    }
    assert (99, "disputed") not in given(desk, every_database, "li")


def test_inspectors_who_differ_are_asked_as_before(desk: Desk, disputes: DisputeDesk) -> None:
    desk.say(1, "ada", "pass")
    desk.say(1, "li", "reject", seen=0)
    assert disputes.ask({key(1): 0.9}, ENGINEER) == {key(1): "waiting"}
