"""Clocks that are wrong: a box's, and the cloud's own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.records.clock_guard import ClockGuard
from cloud.records.clocks import LATEST, clock_off, clock_problems, shown_time
from cloud.records.database import Database
from cloud.records.queries import Filter, Records
from cloud.records.store import RecordStore
from cloud.records.summary import summarise
from shared.clock import ManualClock
from shared.format import date, iso, time_of_day
from shared.worker import DeadWorkers
from tests.cloud.makers import NOON, device, inspection, label, tail

Y2040, Y33M = 2_208_988_800.0, 1.04e15
STRANGE = [0.0, -1.0, Y2040, Y33M, 1e300, -1e300, math.inf, -math.inf, math.nan]


@given(st.floats(), st.floats(0, LATEST))
def test_any_clock_makes_a_time_and_a_difference_that_can_be_kept(told: float, now: float) -> None:
    assert 0 <= shown_time(told, now) <= LATEST
    assert math.isfinite(clock_off(told, now))
    for say in (iso, date, time_of_day):
        assert say(told)
    assert all(len(text) < 200 for text in clock_problems(clock_off(told, now)))


def test_a_clock_that_is_well_is_no_problem() -> None:
    assert clock_problems(None) == clock_problems(59.0) == clock_problems(-59.0) == []
    assert "16 years ahead of the cloud's" in clock_problems(15.5 * 31_557_600)[0]
    assert "61 s behind the cloud's" in clock_problems(-61.0)[0]


@pytest.mark.parametrize("at", [0.0, Y2040, Y33M, 1e300])
def test_a_boxs_clock_hides_no_fresh_part_and_is_no_fresher(
    every_database: Database, at: float
) -> None:
    rejected = {"verdict": "reject", "decision": "reject"}
    RecordStore(every_database).save(
        [
            inspection(1, inspected_at=at, received_at=NOON + 1, **rejected),
            inspection(2, inspected_at=NOON + 2, received_at=NOON + 2, **rejected),
            inspection(3, inspected_at=at, received_at=NOON + 3, **rejected),
        ]
    )
    records = Records(every_database)
    assert [one.sequence for one in records.last_defects(9)] == [3, 2, 1]
    listed = records.inspections(Filter(since=NOON + 2, until=NOON + 9), limit=9).inspections
    assert [one.sequence for one in listed] == [3, 2]
    assert listed[0].at == at
    first = records.inspections(Filter(), limit=1)
    assert records.inspections(Filter(), limit=9, cursor=first.next).inspections[0].sequence == 2
    assert summarise(every_database, since=NOON).inspected == 3
    assert records.counts(now=NOON + 4, minutes=1).minutes[0].edge == 3


def test_what_came_while_the_clouds_clock_was_ahead_is_dated_anew_when_boxes_agree(
    every_database: Database,
) -> None:
    store, records = RecordStore(every_database), Records(every_database)
    store.save(
        [inspection(1, received_at=NOON - 5), inspection(2, received_at=Y2040)],
        [tail(3, received_at=Y2040), tail(4, received_at=NOON - 5)],
        [device(seen_at=Y2040)],
    )
    clock = ManualClock(utc=NOON)
    guard = ClockGuard(store, clock, DeadWorkers())
    guard.look()
    assert "1 records are dated later than this machine's clock" in guard.problems[0]
    guard.heard("box-1", 0.2)
    guard.look()
    assert guard.problems == []
    store.save([inspection(9, received_at=NOON + 1)])
    listed = records.inspections(Filter(), limit=9).inspections
    assert [one.sequence for one in listed] == [9, 2, 1]
    assert records.devices()[0].seen_at == NOON


@pytest.mark.parametrize("utc", [0.0, NOON - 3e7])
def test_a_clock_that_is_behind_changes_nothing_that_is_stored(
    database: Database, utc: float
) -> None:
    store, records = RecordStore(database), Records(database)
    store.save([inspection(number) for number in (1, 2, 3)])
    before = records.inspections(Filter(), limit=9)
    clock = ManualClock(utc=utc)
    guard = ClockGuard(store, clock, DeadWorkers())
    for name in ("box-1", "box-2", "box-3"):
        guard.heard(name, NOON - utc)
    guard.look()
    assert len(guard.problems) == 1
    clock.advance(601)
    guard.look()
    assert len(guard.problems) == 1
    assert records.inspections(Filter(), limit=9) == before


def test_a_label_of_a_day_when_the_clock_was_ahead_can_be_replaced(
    every_database: Database,
) -> None:
    """A box keeps the later of two labels, by this time."""
    store, records = RecordStore(every_database), Records(every_database)
    store.save([inspection(1)])
    store.label(label(1, verdict="reject", reviewed_at=Y2040))
    store.label(label(1, verdict="pass", reviewed_at=NOON))
    (view,) = records.inspections(Filter(), limit=1).inspections
    assert view.label is not None
    assert view.label.verdict == "pass"
    assert view.label.reviewed_at > Y2040


def test_what_is_not_heard_live_leaves_a_devices_clock_as_it_was_known(database: Database) -> None:
    store = RecordStore(database)
    store.save(devices=[device(clock_off_s=3600.0 * 50)])
    store.save(devices=[device(clock_off_s=None, state="offline")])
    (found,) = Records(database).devices()
    assert found.clock_off_s == 3600.0 * 50
    assert found.problems[0].startswith("its clock is 2 days ahead of the cloud's: set it.")
