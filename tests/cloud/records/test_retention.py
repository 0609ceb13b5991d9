"""What is old enough goes, a few at a time; what was counted and what was labelled stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import func, select

from cloud.configuration.retention import DAY_S, KeptFor, RetentionPolicy
from cloud.records.database import Database
from cloud.records.retention import Retention, stock
from cloud.records.rollup_worker import RollupWorker
from cloud.records.rollups import Rollups
from cloud.records.store import RecordStore
from cloud.records.tables import INSPECTIONS, LabelRecord, TailRecord
from shared.clock import ManualClock
from shared.errors import RecordsError
from shared.worker import DeadWorkers
from tests.cloud.makers import NOON, inspection, label, tail

LATER = NOON + 100 * DAY_S
SENT: dict[str, Any] = {"decision": "escalate", "verdict": "review", "decided_by": "cloud"}


@dataclass
class Kept:
    """What is in the tables."""

    database: Database

    def sequences(self, table: Any = INSPECTIONS) -> list[int]:
        column = table.c.sequence if table is INSPECTIONS else table.sequence
        with self.database.begin() as connection:
            return sorted(connection.execute(select(column)).scalars())

    def count(self, table: Any) -> int:
        with self.database.begin() as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.fixture
def kept(every_database: Database) -> Kept:
    store = RecordStore(every_database)
    store.save(
        [
            inspection(1),
            inspection(2, **SENT),
            inspection(3, control="pass", verdict="review"),
            inspection(4, site="other"),
            inspection(5, **SENT),
            inspection(6, received_at=LATER - DAY_S),
        ],
        [tail(2, verdict="review"), tail(5, verdict="review"), tail(9)],
    )
    store.label(label(2))
    return Kept(every_database)


def rolled(database: Database) -> Rollups:
    RollupWorker(database, ManualClock(utc=LATER), DeadWorkers()).roll()
    return Rollups(database)


def retention(kept: Kept, policy: RetentionPolicy, **more: Any) -> Retention:
    return Retention(kept.database, policy, ManualClock(utc=LATER), DeadWorkers(), **more)


@pytest.mark.parametrize("most_rows", [1, 2, 100])
def test_old_inspections_go_with_their_tails_and_counts_stay(kept: Kept, most_rows: int) -> None:
    rollups = rolled(kept.database)
    before = rollups.totals()
    policy = RetentionPolicy(KeptFor(days=90), {"other": KeptFor(days=None)})
    assert retention(kept, policy, most_rows=most_rows).prune() == 2
    assert kept.sequences() == [2, 3, 4, 6]
    assert kept.sequences(TailRecord) == [2]
    assert rollups.totals() == before
    # Once more changes nothing.
    assert retention(kept, policy).prune() == 0


def test_labelled_parts_and_controls_go_when_their_own_time_has_come(kept: Kept) -> None:
    rolled(kept.database)
    policy = RetentionPolicy(KeptFor(days=None, labelled=50))
    assert retention(kept, policy).prune() == 2
    assert kept.sequences() == [1, 4, 5, 6]
    assert kept.count(LabelRecord) == 0


def test_what_comes_late_of_a_time_that_is_gone_does_not_undo_its_counts(kept: Kept) -> None:
    rollups = rolled(kept.database)
    before = rollups.totals().inspected
    retention(kept, RetentionPolicy(KeptFor(days=90))).prune()
    RecordStore(kept.database).label(label(2, verdict="reject"))
    assert rolled(kept.database).totals().inspected == before


def test_nothing_goes_before_it_is_counted(kept: Kept) -> None:
    assert retention(kept, RetentionPolicy(KeptFor(days=90))).prune() == 0
    assert len(kept.sequences()) == 6


def test_for_ever_is_for_ever(kept: Kept) -> None:
    rolled(kept.database)
    assert retention(kept, RetentionPolicy(KeptFor(days=None))).prune() == 0
    assert len(kept.sequences()) == 6


def test_how_much_is_kept_is_told_by_site(kept: Kept) -> None:
    rolled(kept.database)
    policy = RetentionPolicy(KeptFor(days=90), {"other": KeptFor(days=None)})
    retention(kept, policy).prune()
    plant = {one.site: one for one in stock(kept.database, policy)}["plant"]
    assert (plant.came, plant.kept, plant.oldest) == (5, 3, NOON + 2)
    assert (plant.days, plant.labelled_days) == (90, None)


class Locked(Database):
    """A database that another program holds."""

    def begin(self, **_: Any) -> Any:
        raise RecordsError("the database is locked", fix="end the other program")


def test_health_says_where_old_ones_have_not_gone_for_a_day() -> None:
    clock = ManualClock(utc=LATER)
    told = Retention(Locked("sqlite://"), RetentionPolicy(), clock, DeadWorkers())
    told._step()
    assert told.problems == []
    clock.advance(3 * DAY_S)
    told._step()
    assert "3 days" in told.problems[0]
    assert "locked" in told.problems[0]
