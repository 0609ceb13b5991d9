"""Lines are judged by what is recorded, the same by every worker, on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from cloud.health.line_state import LineLimits
from cloud.health.line_watch import LineWatch, usual_limits
from cloud.health.monitor import HealthCheck
from cloud.health.running_promise import PromiseMonitor
from cloud.records.database import Database
from cloud.records.store import RecordStore
from shared.clock import ManualClock
from tests.cloud.makers import NOON, device, inspection
from tests.cloud.web.test_api import ailing, healthy

LATE = {"decision": "escalate", "verdict": "reject", "decided_by": "deadline"}


class Plant:
    """Lines whose parts come one a second, up to now."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = RecordStore(database)
        self.clock = ManualClock(utc=NOON)
        self._sequence = 0

    def run(self, seconds: int, line: str = "line-1", **more: Any) -> None:
        """Time goes on by that, a part a second; the box speaks at the end."""
        rows = []
        for _ in range(seconds):
            self.clock.advance(1.0)
            self._sequence += 1
            came = {"line": line, "received_at": self.clock.utc(), **more}
            rows.append(inspection(self._sequence, **came))
        self.store.save(rows, devices=[self.box(line)])

    def box(self, line: str = "line-1", **more: Any) -> dict[str, Any]:
        return dict(device(line=line, device=f"box of {line}", seen_at=self.clock.utc(), **more))

    def watch(self, health: HealthCheck = healthy, limits: Any = usual_limits) -> LineWatch:
        promises = PromiseMonitor(self.database, dict)
        return LineWatch(self.database, health, promises, self.clock, limits)


@pytest.fixture
def plant(every_database: Database) -> Plant:
    return Plant(every_database)


def test_a_running_line_is_well_and_so_is_every_other_workers_word(plant: Plant) -> None:
    watch = plant.watch()
    assert watch().headline == "Waiting for the first device"
    plant.run(200)
    state = watch()
    assert (state.word, state.headline) == ("well", "All well")
    (line,) = state.lines
    assert line.per_minute == pytest.approx(60.0, rel=0.1)
    assert plant.watch()() == state


def test_two_hours_after_the_last_part_a_worker_that_starts_then_knows_it(plant: Plant) -> None:
    plant.run(200)
    last = plant.clock.utc()
    plant.clock.advance(7200)
    plant.store.save(devices=[plant.box()])
    state = plant.watch()()
    (condition,) = state.conditions
    assert (condition.name, condition.since, state.since) == ("no_parts", last, last)
    assert "about 60 a minute came before" in state.headline


def test_three_days_later_too(plant: Plant) -> None:
    plant.run(200)
    plant.clock.advance(3 * 86_400)
    plant.store.save(devices=[plant.box()])
    assert [one.name for one in plant.watch()().conditions] == ["no_parts"]


def test_rates_are_judged_line_by_line_and_limits_are_a_lines_own(plant: Plant) -> None:
    plant.run(180)
    plant.run(120, "line-2", verdict="reject")
    plant.store.save(devices=[plant.box()])
    wide = LineLimits(reject_most=1.0)
    found = plant.watch()().conditions
    assert [(one.name, one.line) for one in found] == [
        ("no_parts", "line-1"),
        ("reject_rate", "line-2"),
    ]
    assert len(plant.watch(limits=lambda *_: wide)().conditions) == 1


def test_what_the_deadline_diverted_is_counted_and_told(plant: Plant) -> None:
    plant.run(180)
    plant.run(90, **LATE)
    state = plant.watch()()
    assert state.diverted == 90
    assert [one.name for one in state.conditions] == ["deadline_share"]


def test_a_part_that_waits_since_morning_and_the_clouds_own_trouble_are_told(plant: Plant) -> None:
    plant.run(10, verdict="review", decision="review")
    plant.clock.advance(5 * 3600)
    plant.run(300)
    watch = plant.watch(ailing)
    assert [one.name for one in watch().conditions] == ["cloud", "review_queue"]
    assert watch().headline == "The broker is away.; and 1 more"
    assert watch.waiting == {("plant", "line-1"): 10}


def test_a_long_queue_of_one_line_hides_no_other_lines(plant: Plant) -> None:
    waits = {"verdict": "review", "decision": "review"}
    plant.run(1_200, **waits)
    plant.run(3, line="line-2", **waits)
    plant.clock.advance(5 * 3600)
    found = [one for one in plant.watch()().conditions if one.name == "review_queue"]
    assert sorted(one.line for one in found) == ["line-1", "line-2"]


def test_within_a_second_nobody_asks_the_database_again_and_within_a_minute_little(
    plant: Plant,
) -> None:
    plant.run(130)
    watch, asked = plant.watch(), []
    event.listen(
        plant.database.engine, "before_cursor_execute", lambda *said: asked.append(said[2])
    )
    watch()
    first = len(asked)
    watch()
    assert len(asked) == first
    plant.clock.advance(1.0)
    watch()
    assert len(asked) - first <= 5
