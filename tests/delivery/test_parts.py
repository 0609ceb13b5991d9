"""The machine's properties, held by the product's own parts in any order that comes to mind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cloud.inference.tail import LoadedTail, open_tail
from cloud.records.database import Database
from shared.runtime.settings import RuntimeSettings
from tests.bundles import make_bundle
from tests.delivery.parts import DeliveryParts
from tests.support.databases import place_migrated

ONNX = RuntimeSettings(name="onnx")
PLACES = st.integers(0, 5)
WORKERS = st.integers(0, 1)


@pytest.fixture(scope="module")
def tails(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedTail, LoadedTail]:
    folder = tmp_path_factory.mktemp("bundles")
    old = make_bundle(folder / "old")
    new = make_bundle(folder / "new", height=96, width=96)
    return open_tail(old, ONNX), open_tail(new, ONNX)


class Steps(RuleBasedStateMachine):
    """One step of any side, or a fault."""

    tails: tuple[LoadedTail, LoadedTail]

    def __init__(self) -> None:
        super().__init__()
        self._files = tempfile.TemporaryDirectory()
        folder = Path(self._files.name)
        self._database = Database(f"sqlite:///{place_migrated(Database, folder / 'r.db')}")
        self.parts = DeliveryParts(folder, self._database, *self.tails)

    @rule(sure=st.booleans())
    def a_part_comes(self, sure: bool) -> None:
        self.parts.comes(sure=sure)

    @rule()
    def the_journal_commits(self) -> None:
        self.parts.commit()

    @rule()
    def deadlines_pass(self) -> None:
        self.parts.pass_deadline()

    @rule()
    def the_outbox_sends(self) -> None:
        self.parts.send()

    @rule(place=PLACES, turn=WORKERS)
    def a_message_arrives(self, place: int, turn: int) -> None:
        self.parts.deliver(place, turn)

    @rule(place=PLACES)
    def a_message_is_lost(self, place: int) -> None:
        self.parts.lose(place)

    @rule(place=PLACES)
    def a_message_is_doubled(self, place: int) -> None:
        self.parts.double(place)

    @rule(index=WORKERS)
    def a_worker_works(self, index: int) -> None:
        self.parts.work(index)

    @rule(index=WORKERS)
    def a_worker_gets_the_new_tail(self, index: int) -> None:
        self.parts.learn(index)

    @rule(index=WORKERS)
    def a_worker_is_killed(self, index: int) -> None:
        self.parts.kill_worker(index)

    @rule()
    def the_box_swaps_its_head(self) -> None:
        self.parts.swap()

    @rule()
    def the_box_is_killed(self) -> None:
        self.parts.kill_box()

    @rule()
    def the_broker_is_killed(self) -> None:
        self.parts.kill_broker()

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert not list(self.parts.wrong())

    def teardown(self) -> None:
        try:
            self.parts.drain()
            assert not [*self.parts.wrong(), *self.parts.unfinished()]
        finally:
            self.parts.close()
            self._database.close()
            self._files.cleanup()


def test_no_part_is_without_a_verdict_lost_or_twice(tails: tuple[LoadedTail, LoadedTail]) -> None:
    Steps.tails = tails
    run_state_machine_as_test(Steps, settings=settings(stateful_step_count=40))


def test_a_second_worker_without_the_new_tail_costs_no_part(
    tails: tuple[LoadedTail, LoadedTail], tmp_path: Path
) -> None:
    """The box has the new head already, say since a worker came back with its old bundles."""
    database = Database(f"sqlite:///{place_migrated(Database, tmp_path / 'r.db')}")
    parts = DeliveryParts(tmp_path, database, *tails)
    parts.learn(1)
    parts.swap()
    assert parts.swapped
    parts.workers[1].drop(tails[1].bundle.manifest.pair)
    for worker in parts.workers:
        worker.roster.look()
    for turn in range(8):
        parts.comes(sure=False)
        parts.commit()
        while parts.broker.held:
            parts.deliver(0, turn)
            parts.work(0)
            parts.work(1)
        parts.commit()
    assert len(parts.told) == 8
    parts.drain()
    assert {row.decided_by for row in parts.recorded()} == {"cloud"}
    parts.close()
    database.close()
