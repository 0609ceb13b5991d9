"""When what waits to be stored is stored: seldom enough to be cheap, at once where many wait."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cloud.records.tables import InspectionRow, StateRow, TailRow
from cloud.records.writer import MANY_ROWS, RecordsWriter, StorageBatch
from shared.worker import DeadWorkers
from tests.cloud.makers import inspection

LONG_S = 3600.0


class CountingStore:
    """How many inspections each commit had."""

    def __init__(self) -> None:
        self.commits: list[int] = []

    def save(
        self,
        inspections: Sequence[InspectionRow] = (),
        tails: Sequence[TailRow] = (),
        devices: Sequence[StateRow] = (),
    ) -> None:
        del tails, devices
        self.commits.append(len(inspections))

    def clear_maps(self, keep: int) -> None:
        del keep


def test_what_comes_one_by_one_shares_a_commit() -> None:
    store, stored = CountingStore(), [threading.Event() for _ in range(5)]
    writer = RecordsWriter(store, DeadWorkers(), keep_maps=10, gather_s=LONG_S)
    writer.start()
    for number, told in enumerate(stored):
        writer.add_batch(StorageBatch([inspection(number)], told.set))
    assert not any(told.is_set() for told in stored)
    writer.stop()
    assert all(told.is_set() for told in stored)
    assert store.commits == [len(stored)]


def test_a_box_that_catches_up_waits_for_nobody() -> None:
    store, stored = CountingStore(), threading.Event()
    writer = RecordsWriter(store, DeadWorkers(), keep_maps=10, gather_s=LONG_S)
    writer.start()
    rows = [inspection(number) for number in range(MANY_ROWS)]
    writer.add_batch(StorageBatch(rows, stored.set))
    assert stored.wait(20)
    writer.stop()
    assert store.commits == [MANY_ROWS]
