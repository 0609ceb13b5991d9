"""A rollout over the workers of one cloud, each of which says in their database what it serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cloud.inference.roster import WorkerRoster
from cloud.records.database import Database
from cloud.records.workers import WorkerStore
from shared.errors import RolloutError
from shared.worker import DeadWorkers
from tests.fleet.rollouts.plant import NEW, QUICK, Plant, Tails
from tests.support.databases import place_migrated


class Rack(Tails):
    """What one worker serves, and what it knows of the others."""

    def __init__(self, roster: WorkerRoster, *pairs: str) -> None:
        super().__init__(*pairs)
        self._roster = roster

    def lacking(self, pair: str) -> Sequence[str]:
        return self._roster.lacking(pair)


class SeveralWorkers:
    """Two workers on one database; the first conducts rollouts."""

    def __init__(self, folder: Path) -> None:
        self.plant = Plant(folder, 3)
        path = place_migrated(Database, folder / "records.db")
        self.database = Database(f"sqlite:///{path}")
        self.serves = {"hall-1": ["pair-1", "pair-2"], "hall-2": ["pair-1"]}
        self.rosters = {name: self._roster(name) for name in self.serves}
        self.look()
        self.plant.tails = Rack(self.rosters["hall-1"], "pair-1", "pair-2")
        self.plant.kill()
        self.plant.open()
        self.plant.start_devices()

    def look(self, *names: str) -> None:
        # Twice: who looks first does not see what the other says then.
        for name in (*(names or self.serves),) * 2:
            self.rosters[name].look()

    def rounds(self, count: int, *names: str) -> None:
        for _ in range(count):
            self.look(*names)
            self.plant.round()

    def _roster(self, name: str) -> WorkerRoster:
        return WorkerRoster(
            store=WorkerStore(self.database),
            worker=name,
            name=name,
            serves=lambda: self.serves[name],
            connected=lambda: True,
            clock=self.plant.clock,
            on_death=DeadWorkers(),
        )


@pytest.fixture
def several(tmp_path: Path) -> Iterator[SeveralWorkers]:
    made = SeveralWorkers(tmp_path)
    yield made
    made.database.close()


def test_no_box_runs_a_pair_before_every_worker_serves_it(several: SeveralWorkers) -> None:
    with pytest.raises(RolloutError, match="worker hall-2 does not serve the tail of pair pair-2"):
        several.plant.conductor.begin(NEW, QUICK, "ada")
    several.serves["hall-2"].append("pair-2")
    several.look()
    several.plant.conductor.begin(NEW, QUICK, "ada")
    several.rounds(6)
    assert several.plant.conductor.find(1).rollout.state == "done"


def test_a_worker_that_is_started_on_the_way_is_waited_for(several: SeveralWorkers) -> None:
    several.serves["hall-2"].append("pair-2")
    several.look()
    several.plant.conductor.begin(NEW, QUICK, "ada")
    several.serves["hall-3"] = ["pair-1"]
    several.rosters["hall-3"] = several._roster("hall-3")
    several.rounds(5)
    rollout = several.plant.conductor.find(1).rollout
    assert rollout.state == "running"
    assert "hall-3" in rollout.reason
    assert rollout.count("waiting") == 2
    several.rosters["hall-3"].stop()
    several.rounds(6, "hall-1", "hall-2")
    assert several.plant.conductor.find(1).rollout.state == "done"


def test_without_the_workers_database_no_further_box_is_asked(several: SeveralWorkers) -> None:
    several.serves["hall-2"].append("pair-2")
    several.look()
    several.plant.conductor.begin(NEW, QUICK, "ada")
    several.plant.clock.advance(11)
    for _ in range(5):
        several.plant.round()
    rollout = several.plant.conductor.find(1).rollout
    assert "its database is away" in rollout.reason
    assert rollout.state == "running"
