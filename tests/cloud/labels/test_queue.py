"""Who is given which part to look at, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloud.labels.agreement import agreement_of
from cloud.labels.leases import LEASE_S
from cloud.labels.queue import (
    ENOUGH_OF_WINDOW,
    MIXED_SHARE,
    Reason,
    ReviewQueue,
    ReviewScope,
    Window,
)
from cloud.labels.second_looks import Judgement
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.records.tables import SAMPLE_EVERY
from shared.clock import ManualClock
from tests.cloud.labels.test_history import Desk
from tests.cloud.makers import NOON, inspection, tail

LATE = {"decision": "escalate", "verdict": "reject", "decided_by": "deadline"}


def never() -> float:
    return 1.0


@pytest.fixture
def desk(every_database: Database) -> Desk:
    return Desk(every_database)


def queue_of(desk: Desk, database: Database, windows: Sequence[Window] = ()) -> ReviewQueue:
    return ReviewQueue(database, desk.clock, drifted=lambda: windows, draw=never)


def given(queue: ReviewQueue, holder: str, count: int = 99, **scope: str) -> list[tuple[int, str]]:
    found = queue.take(holder, count, ReviewScope(**scope))
    return [(item.key.sequence, item.reason) for item in found]


def test_what_a_decision_is_worth_most_of_comes_first(desk: Desk, every_database: Database) -> None:
    RecordStore(every_database).save(
        [inspection(10, **LATE), inspection(11, **LATE), inspection(12), inspection(13)],
        [tail(11, verdict="pass", score=0.01)],
    )
    desk.say(12, "meyer", "reject", judgement=Judgement("pass", 0.02))
    desk.say(13, "meyer", "reject")
    desk.say(13, "li", "pass", seen=0)
    queue = queue_of(desk, every_database, [Window("plant", "line-1", NOON, NOON + 5)])
    assert given(queue, "ada") == [
        (1, "review"),
        (2, "review"),
        (3, "review"),
        (11, "contradicted"),
        (13, "split"),
        (12, "disputed"),
        (10, "deadline"),
        (4, "drift"),
    ]
    assert queue.waiting("ada") == {
        "review": 3,
        "contradicted": 1,
        "split": 1,
        "disputed": 1,
        "deadline": 2,
    }


def test_two_inspectors_are_never_given_the_same_part_until_the_first_has_been_away(
    desk: Desk, every_database: Database
) -> None:
    queue = queue_of(desk, every_database)
    assert given(queue, "ada", 2) == [(1, "review"), (2, "review")]
    assert given(queue, "meyer", 2) == [(3, "review")]
    assert given(queue, "ada", 2) == [(1, "review"), (2, "review")]
    desk.clock.advance(LEASE_S + 1)
    assert given(queue, "meyer", 3) == [(1, "review"), (2, "review"), (3, "review")]


def test_inspectors_who_ask_at_one_moment_get_different_parts(
    desk: Desk, every_database: Database
) -> None:
    waits = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}
    RecordStore(every_database).save([inspection(n, **waits) for n in range(20, 60)])
    queue = queue_of(desk, every_database)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: given(queue, name, 6), ("ada", "li", "kim", "noor")))
    parts = [part for one in found for part, _ in one]
    assert len(parts) == len(set(parts)) == 24


def test_nobody_is_asked_twice_about_one_part(desk: Desk, every_database: Database) -> None:
    for sequence in (1, 2, 3):
        desk.say(sequence, "ada", "pass", judgement=Judgement("reject", 0.9))
    queue = queue_of(desk, every_database)
    assert given(queue, "ada") == []
    assert {reason for _, reason in given(queue, "meyer")} == {"disputed"}


def test_a_part_is_asked_for_by_place_and_by_the_kind_that_is_suspected(
    desk: Desk, every_database: Database
) -> None:
    waits = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}
    RecordStore(every_database).save(
        [inspection(20, **waits, line="line-2"), inspection(21, **waits)],
        [tail(21, verdict="review", kind="crack")],
    )
    queue = queue_of(desk, every_database)
    assert given(queue, "ada", line="line-2") == [(20, "review")]
    assert given(queue, "ada", kind="crack") == [(21, "review")]
    assert given(queue, "ada", site="elsewhere") == []


def test_of_a_time_in_which_something_has_changed_only_its_own_parts_come(
    desk: Desk, every_database: Database
) -> None:
    RecordStore(every_database).save(
        [
            inspection(20),
            inspection(21, bundle="tiny 2.0.0"),
            inspection(22, recipe="left"),
            inspection(23, device="box-2"),
            inspection(24, received_at=NOON + 900),
        ]
    )
    window = Window("plant", "line-1", NOON + 10, NOON + 100, "box-1", "", "tiny 1.0.0")
    queue = queue_of(desk, every_database, [window])
    assert given(queue, "ada")[3:] == [(20, "drift")]


def test_when_enough_of_such_a_time_is_labelled_no_more_of_it_is_asked(
    desk: Desk, every_database: Database
) -> None:
    window = Window("plant", "line-1", NOON + 1_000, NOON + 9_000)
    some = range(1_001, 1_001 + ENOUGH_OF_WINDOW)
    RecordStore(every_database).save([inspection(n) for n in (*some, 2_000, 2_001)])
    desk.clock.advance(10_000)
    queue = queue_of(desk, every_database, [window])
    for number in some[:-1]:
        desk.say(number, "meyer", "pass")
    drifted = [one for one, reason in given(queue, "ada") if reason == "drift"]
    assert drifted == [2_001]
    desk.say(2_001, "meyer", "pass")
    assert "drift" not in {reason for _, reason in given(queue, "ada")}


def test_parts_drawn_at_random_are_mixed_in_at_the_stated_rate(
    desk: Desk, every_database: Database
) -> None:
    waits = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}
    RecordStore(every_database).save(
        [
            *(inspection(n, **waits) for n in range(20, 120)),
            *(inspection(SAMPLE_EVERY * n) for n in range(1, 40)),
        ]
    )
    numbers = iter(range(10_000))
    # Evenly from 0 to 1: of a hundred parts ten are followed by one that was drawn.
    queue = ReviewQueue(every_database, desk.clock, draw=lambda: (next(numbers) * 37 % 100) / 100)
    desk.clock.advance(SAMPLE_EVERY * 40)
    found = given(queue, "ada", 100)
    drawn = [place for place, (_, reason) in enumerate(found) if reason == "sample"]
    assert 0.5 * MIXED_SHARE < len(drawn) / 100 < 1.5 * MIXED_SHARE
    assert max(drawn) - min(drawn) > 50


def test_agreement_counts_only_who_did_not_know_the_other(
    desk: Desk, every_database: Database
) -> None:
    desk.say(1, "ada", "reject")
    desk.say(1, "meyer", "reject", seen=0)
    desk.say(2, "ada", "pass")
    desk.say(2, "meyer", "reject", seen=0)
    desk.say(3, "ada", "pass")
    desk.say(3, "meyer", "reject")
    rows = {(one.of, one.name): one for one in agreement_of(every_database)}
    assert (rows["all", ""].pairs, rows["all", ""].agreed) == (2, 1)
    assert rows["pair", "ada, meyer"].pairs == 2
    assert rows["line", "plant / line-1"].agreed == 1
    assert rows["kind", "crack"].kappa == 0.0


@pytest.mark.parametrize("reason", ["review", "deadline", "sample", "contradicted"])
def test_what_waits_is_found_by_an_index_however_many_parts_there_are(
    database: Database, reason: Reason
) -> None:
    queue = ReviewQueue(database, ManualClock(utc=NOON))
    query = queue._query(reason, "ada", ReviewScope(line="line-1"))
    with database.begin() as connection:
        text = query.limit(10).compile(connection.engine, compile_kwargs={"literal_binds": True})
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    plan = " ".join(str(row[-1]) for row in rows)
    wanted = "ix_inspections_sampled" if reason == "sample" else "ix_inspections_waiting"
    assert wanted in plan
