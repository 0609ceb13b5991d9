"""The thread that stores: whatever waits goes into one commit, and receipts follow it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cloud.records.tables import InspectionRow, StateRow, TailRow
from shared.clock import Clock, SystemClock
from shared.errors import RecordsError
from shared.log import get_logger
from shared.storage.database import UnstorableRecord
from shared.worker import OnDeath, Worker

log = get_logger("records")

MAX_BATCHES = 256
MAX_TAILS = 5000
RETRY_S = 1.0
GATHER_S, MANY_GATHER_S, MANY_ROWS = 0.1, 0.02, 20
"""How long a commit waits for what else comes, and where so many rows wait: those are of boxes that
catch up, whose next batch comes after the receipt. A commit costs as much as four parts."""
STOP_S = 10.0
CLEAR_EVERY = 500


class Storing(Protocol):
    """What the writer needs of a store; see `cloud.records.store.RecordStore`."""

    def save(
        self,
        inspections: Sequence[InspectionRow] = (),
        tails: Sequence[TailRow] = (),
        devices: Sequence[StateRow] = (),
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
    tails: deque[TailRow] = field(default_factory=lambda: deque(maxlen=MAX_TAILS))
    devices: dict[tuple[str, str, str], StateRow] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Inspections that devices wait to have stored."""
        return sum(len(batch.inspections) for batch in self.batches)

    def __bool__(self) -> bool:
        return bool(self.batches or self.tails or self.devices)


class RecordsWriter:
    """Collects from any thread, stores on its own.

    When the database can't be used, batches are let go unacknowledged, since their device sends
    them again; tail results and states are kept, the newest MAX_TAILS, and tried again.
    """

    def __init__(
        self,
        store: Storing,
        on_death: OnDeath,
        *,
        keep_maps: int,
        clock: Clock | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        """gather_s: seconds that a commit waits for what else comes"""
        self._store = store
        self._gather_s = gather_s
        self._clock = clock or SystemClock()
        self._since: float | None = None
        self._taken = 0
        self._keep_maps = keep_maps
        self._waiting = _Waiting()
        self._changed = threading.Condition()
        self._worker = Worker("records", self._write, on_death=on_death, unblock=self._look_again)
        self._since_cleared = 0
        self._letting_go = False
        self.healthy = True
        self.let_go = 0
        self.refused = 0

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Store what waits, then end; for STOP_S at most where the database does not answer."""
        if self._worker.stop(STOP_S):
            self.write_pending()
        if self.waiting:
            log.error("results_unwritten", count=self.waiting)

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
            self._added()

    def add_tails(self, tails: Sequence[TailRow]) -> None:
        with self._changed:
            self._waiting.tails.extend(tails)
            self._added()

    def add_device(self, device: StateRow) -> None:
        with self._changed:
            self._waiting.devices[device["site"], device["line"], device["device"]] = device
            self._added()

    @property
    def waiting(self) -> int:
        """Tail results and batches that are not stored yet."""
        return len(self._waiting.batches) + len(self._waiting.tails) + self._taken

    @property
    def unstored_s(self) -> float:
        """Seconds for which nothing has been stored though something waits, 0 for none."""
        since = self._since
        return 0.0 if since is None else max(0.0, self._clock.monotonic() - since)

    def write_pending(self) -> bool:
        """Store all that waits in one commit; whether that worked."""
        with self._changed:
            taken, self._waiting = self._waiting, _Waiting()
            self._taken = len(taken.batches) + len(taken.tails)
            if len(taken.batches) < MAX_BATCHES // 2:
                self._letting_go = False
        if not taken:
            return True
        inspections = [row for batch in taken.batches for row in batch.inspections]
        try:
            self._store.save(inspections, list(taken.tails), list(taken.devices.values()))
        except UnstorableRecord:
            return self._write_one_by_one(taken)
        except RecordsError as error:
            self._put_back(taken, error)
            return False
        self._stored(taken)
        return True

    def _write_one_by_one(self, taken: _Waiting) -> bool:
        """What can't be stored must not keep the others from it."""
        alone = [
            *(_Waiting(batches=[batch]) for batch in taken.batches),
            *(_Waiting(tails=deque([tail])) for tail in taken.tails),
            *(_Waiting(devices={key: device}) for key, device in taken.devices.items()),
        ]
        for done, one in enumerate(alone):
            rows = [row for batch in one.batches for row in batch.inspections]
            try:
                self._store.save(rows, list(one.tails), list(one.devices.values()))
            except UnstorableRecord as error:
                if not self.refused:
                    log.warning("record_refused", reason=error.message, fix=error.fix)
                self.refused += 1
            except RecordsError as error:
                self._put_back(_joined(alone[done:]), error)
                return False
            else:
                self._stored(one)
        self._stored(_Waiting())
        return True

    def _stored(self, taken: _Waiting) -> None:
        if not self.healthy:
            log.info("records_back")
        self.healthy = True
        with self._changed:
            self._taken = 0
            self._since = self._clock.monotonic() if self._waiting else None
        for batch in taken.batches:
            batch.stored()
        self._clear_maps(len(taken.tails))

    def _put_back(self, taken: _Waiting, error: RecordsError) -> None:
        if self.healthy:
            log.error("records_unusable", reason=error.message, fix=error.fix, next_try_s=RETRY_S)
        self.healthy = False
        self.let_go += len(taken.batches)
        with self._changed:
            self._taken = 0
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
        # One commit for what comes within it: nobody waits for a receipt that closely.
        stopping.wait(MANY_GATHER_S)
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting.rows >= MANY_ROWS or stopping.is_set(),
                max(0.0, self._gather_s - MANY_GATHER_S),
            )
        return 0.0 if self.write_pending() else RETRY_S

    def _added(self) -> None:
        if self._since is None:
            self._since = self._clock.monotonic()
        self._changed.notify()

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify()


def _joined(several: Sequence[_Waiting]) -> _Waiting:
    return _Waiting(
        [batch for one in several for batch in one.batches],
        deque((tail for one in several for tail in one.tails), maxlen=MAX_TAILS),
        {key: device for one in several for key, device in one.devices.items()},
    )
