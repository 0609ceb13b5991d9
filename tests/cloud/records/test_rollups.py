"""Roll-ups say what a plain count of the table says, whatever happens in whichever order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from cloud.records.database import Database
from cloud.records.rollup_tables import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    ROLLUP_MARKS,
    ROLLUP_STATE,
    ROLLUPS,
)
from cloud.records.rollup_worker import RollupWorker
from cloud.records.rollups import Rollups, RollupScope
from cloud.records.store import RecordStore
from cloud.records.tables import INSPECTIONS, LabelRecord, TailRecord
from cloud.records.totals import Totals
from shared.clock import ManualClock
from shared.worker import DeadWorkers
from tests.cloud.makers import NOON, inspection, label, tail

DAY = NOON // DAY_S * DAY_S


class Rolling:
    """A database with a worker whose clock is moved by hand."""

    def __init__(self, database: Database, at: float = NOON, **more: Any) -> None:
        self.database = database
        self.store = RecordStore(database)
        self.clock = ManualClock(utc=at)
        self.dead = DeadWorkers()
        self.worker = RollupWorker(database, self.clock, self.dead, **more)
        self.rollups = Rollups(database)

    def counted(self, *args: Any, **more: Any) -> Totals:
        return self.rollups.totals(*args, **more)

    def plain(self, *args: Any, **more: Any) -> Totals:
        """What the table says, without any roll-up."""
        with hidden(self.database):
            return self.rollups.totals(*args, **more)


@contextmanager
def hidden(database: Database) -> Iterator[None]:
    """As if nothing were rolled up."""
    with database.begin() as connection:
        known = dict(connection.execute(select(ROLLUP_STATE)).mappings().one())
        connection.execute(update(ROLLUP_STATE).values(since=0, until=0))
    try:
        yield
    finally:
        with database.begin() as connection:
            connection.execute(update(ROLLUP_STATE).values(**known))


def close_to(totals: Totals) -> Totals:
    """Sums of floating-point numbers depend on their order."""
    times: dict[str, Any] = {
        name: pytest.approx(getattr(totals, name)) for name in ("edge_ms", "total_ms", "cloud_ms")
    }
    return replace(totals, **times)


ENDS = [
    {"verdict": "pass", "decided_by": "edge", "decision": "pass"},
    {"verdict": "reject", "decided_by": "edge", "decision": "reject"},
    {"verdict": "pass", "decided_by": "cloud", "decision": "escalate"},
    {"verdict": "reject", "decided_by": "deadline", "decision": "escalate"},
    {"verdict": "review", "decided_by": "cloud", "decision": "escalate"},
]
SEQUENCES = st.integers(1, 6)
SECONDS = st.floats(-2 * DAY_S, 7200).map(lambda off: NOON + off)
PARTS = st.builds(
    lambda sequence, at, end, line, lot, ms, score: inspection(
        sequence,
        received_at=at,
        line=line,
        lot=lot,
        total_ms=ms,
        score=score,
        **end,
    ),
    SEQUENCES,
    SECONDS,
    st.sampled_from(ENDS),
    st.sampled_from(["line-1", "line-2"]),
    st.sampled_from(["", "L1"]),
    st.sampled_from([0.0, 1.0, 1.5, 80.0, 9000.0]),
    st.sampled_from([None, 0.0, 0.05, 0.5, 0.99, 1.0]),
)
TAILS = st.builds(
    lambda sequence, at, verdict: tail(sequence, received_at=at, verdict=verdict),
    SEQUENCES,
    SECONDS,
    st.sampled_from(["pass", "reject", "review"]),
)
LABELS = st.builds(
    lambda sequence, verdict: label(sequence, verdict=verdict),
    SEQUENCES,
    st.sampled_from(["pass", "reject"]),
)
STEPS = st.lists(
    st.one_of(
        PARTS.map(lambda row: ("part", row)),
        TAILS.map(lambda row: ("tail", row)),
        LABELS.map(lambda row: ("label", row)),
        st.floats(0, 4000).map(lambda seconds: ("wait", seconds)),
        st.just(("roll", None)),
        st.just(("heal", None)),
    ),
    max_size=12,
)
BOUNDS = st.one_of(st.just(None), SECONDS, st.sampled_from([DAY, DAY - HOUR_S, NOON // 60 * 60]))


def emptied(database: Database) -> None:
    with database.begin() as connection:
        for table in (INSPECTIONS, TailRecord, LabelRecord, ROLLUPS, ROLLUP_MARKS):
            connection.execute(delete(table))
        connection.execute(update(ROLLUP_STATE).values(since=0, until=0, holder="", held_until=0.0))


@given(STEPS, BOUNDS, BOUNDS)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_counts_are_those_of_the_table_whatever_came_when(
    every_database: Database, steps: list[tuple[str, Any]], since: Any, until: Any
) -> None:
    emptied(every_database)
    rolling = Rolling(every_database, most_rows=4)
    for kind, what in steps:
        if kind == "part":
            rolling.store.save([what])
        elif kind == "tail":
            rolling.store.save(tails=[what])
        elif kind == "label":
            rolling.store.label(what)
        elif kind == "wait":
            rolling.clock.advance(what)
        elif kind == "heal":
            rolling.store.heal_times(rolling.clock.utc() - 7200)
        else:
            rolling.worker.roll()
    rolling.worker.roll()
    bounds = {
        name: value for name, value in (("since", since), ("until", until)) if value is not None
    }
    for scope in (RollupScope(), RollupScope(line="line-1"), RollupScope(lot="L1")):
        found = rolling.counted(scope, **bounds)
        assert found == close_to(rolling.plain(scope, **bounds))
    for step in (MINUTE_S, HOUR_S, DAY_S):
        first, last = NOON - 2 * DAY_S, NOON + 7200
        ours = rolling.rollups.series_by(("line", "lot"), RollupScope(), first, last, step)
        with hidden(every_database):
            plain = rolling.rollups.series_by(("line", "lot"), RollupScope(), first, last, step)
        assert {
            (group, at): close_to(totals)
            for group, own in plain.items()
            for at, totals in own.items()
        } == {(group, at): totals for group, own in ours.items() for at, totals in own.items()}


def test_lots_to_choose_from_are_those_of_days_that_are_counted(every_database: Database) -> None:
    rolling = Rolling(every_database, at=NOON + 600)
    rolling.store.save([inspection(1, lot="L2"), inspection(2, lot="L1"), inspection(3)])
    rolling.store.save([inspection(4, lot="L0", received_at=NOON - 9 * DAY_S)])
    rolling.worker.roll()
    assert rolling.rollups.named("lot", NOON - 7 * DAY_S) == ["L1", "L2"]


def test_an_hour_is_added_up_once_it_is_over_and_not_with_each_of_its_minutes(
    every_database: Database,
) -> None:
    rolling = Rolling(every_database)
    begins = NOON // HOUR_S * HOUR_S
    rolling.clock.advance(begins - rolling.clock.utc())

    def hours() -> int:
        query = select(ROLLUPS.c.at).where(ROLLUPS.c.step == HOUR_S)
        with rolling.database.begin() as connection:
            return len(connection.execute(query).all())

    for minute in range(59):
        rolling.store.save([inspection(minute, received_at=begins + minute * MINUTE_S)])
        rolling.clock.advance(MINUTE_S)
        rolling.worker.roll()
        assert hours() == 0
        assert rolling.counted().inspected == minute + 1
    rolling.clock.advance(2 * MINUTE_S)
    rolling.worker.roll()
    assert hours() == 1
    assert rolling.counted() == rolling.plain()
    rolling.store.label(label(3, verdict="reject"))
    rolling.worker.roll()
    assert rolling.counted(since=begins, until=begins + HOUR_S).labelled == 1
