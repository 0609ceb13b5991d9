"""The thread that stores: whatever waits goes into one commit, and receipts follow it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cloud.records.tables import DeviceRecord, InspectionRow, TailRecord
from shared.errors import RecordsError
from shared.log import get_logger
from shared.worker import OnDeath, Worker

log = get_logger("records")

MAX_BATCHES = 256
MAX_TAILS = 5000
RETRY_S = 1.0
CLEAR_EVERY = 500


class Storing(Protocol):
    """What the writer needs of a store; see `cloud.records.store.RecordStore`."""

    def save(
        self,
        inspections: Sequence[InspectionRow] = (),
        tails: Sequence[TailRecord] = (),
        devices: Sequence[DeviceRecord] = (),
    ) -> None: ...

    def clear_maps(self, keep: int) -> None: ...


@dataclass(frozen=True, slots=True)
class StorageBatch:
    """Inspections that a device waits to have stored; `stored` tells it."""

    inspections: Sequence[InspectionRow]
    stored: Callable[[], None]


@dataclass
class _Waiting:
    batches: list[StorageBatch] = field(default_factory=list)
    tails: deque[TailRecord] = field(default_factory=lambda: deque(maxlen=MAX_TAILS))
    devices: dict[tuple[str, str, str], DeviceRecord] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.batches or self.tails or self.devices)


class RecordsWriter:
    """Collects from any thread, stores on its own.

    When the database can't be used, batches are let go unacknowledged, since their device sends
    them again; tail results and states are kept, the newest MAX_TAILS, and tried again.
    """

    def __init__(self, store: Storing, on_death: OnDeath, *, keep_maps: int) -> None:
        self._store = store
        self._keep_maps = keep_maps
        self._waiting = _Waiting()
        self._changed = threading.Condition()
        self._worker = Worker("records", self._write, on_death=on_death, unblock=self._look_again)
        self._since_cleared = 0
        self._letting_go = False
        self.healthy = True
        self.let_go = 0

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Store what waits, then end."""
        self._worker.stop()
        self.write_pending()

    def add_batch(self, batch: StorageBatch) -> None:
        with self._changed:
            if len(self._waiting.batches) >= MAX_BATCHES:
                self.let_go += 1
                if not self._letting_go:
                    slow = "storing is too slow: devices keep them and send them again"
                    log.warning("inspections_let_go", waiting=MAX_BATCHES, reason=slow)
                self._letting_go = True
                return
            self._waiting.batches.append(batch)
            self._changed.notify()

    def add_tails(self, tails: Sequence[TailRecord]) -> None:
        with self._changed:
            self._waiting.tails.extend(tails)
            self._changed.notify()

    def add_device(self, device: DeviceRecord) -> None:
        with self._changed:
            self._waiting.devices[device.site, device.line, device.device] = device
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """Tail results and batches that are not stored yet."""
        return len(self._waiting.batches) + len(self._waiting.tails)

    def write_pending(self) -> bool:
        """Store all that waits in one commit; whether that worked."""
        with self._changed:
            taken, self._waiting = self._waiting, _Waiting()
            if len(taken.batches) < MAX_BATCHES // 2:
                self._letting_go = False
        if not taken:
            return True
        inspections = [row for batch in taken.batches for row in batch.inspections]
        try:
            self._store.save(inspections, list(taken.tails), list(taken.devices.values()))
        except RecordsError as error:
            self._put_back(taken, error)
            return False
        if not self.healthy:
            log.info("records_back")
        self.healthy = True
        for batch in taken.batches:
            batch.stored()
        self._clear_maps(len(taken.tails))
        return True

    def _put_back(self, taken: _Waiting, error: RecordsError) -> None:
        if self.healthy:
            log.error("records_unusable", reason=error.message, fix=error.fix, next_try_s=RETRY_S)
        self.healthy = False
        self.let_go += len(taken.batches)
        with self._changed:
            newer = self._waiting
            self._waiting.tails = deque([*taken.tails, *newer.tails], maxlen=MAX_TAILS)
            self._waiting.devices = {**taken.devices, **newer.devices}

    def _clear_maps(self, stored: int) -> None:
        self._since_cleared += stored
        if self._since_cleared < CLEAR_EVERY:
            return
        self._since_cleared = 0
        try:
            self._store.clear_maps(self._keep_maps)
        except RecordsError as error:
            log.warning("maps_not_cleared", reason=error.message)

    def _write(self) -> float:
        stopping = self._worker.stopping
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or stopping.is_set())
        return 0.0 if self.write_pending() else RETRY_S

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify()
