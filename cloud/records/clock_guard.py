"""Notices where this machine's clock is wrong, and puts right what it dated while it was."""

from __future__ import annotations

import threading
from statistics import median
from typing import Protocol

from cloud.records.clocks import EARLIEST, TOLD_S
from shared.clock import Clock
from shared.errors import RecordsError
from shared.log import get_logger
from shared.worker import OnDeath, Worker

log = get_logger("clock")

EVERY_S = 60.0
HEARD_S = 600.0
MOST_BOXES = 10_000
# So many boxes are hardly wrong by the same.
MANY = 3


class Healing(Protocol):
    """What the guard needs of a store; see `cloud.records.store.RecordStore`."""

    def heal_times(self, now: float) -> int: ...

    def count_ahead(self, now: float) -> int: ...


class ClockGuard:
    """Looks every EVERY_S. What came while the clock was ahead would else stay newest until then.

    It changes nothing by its own clock's word alone: one that is behind now would make the past of
    all that is stored. The boxes' clocks, of which most agree with it, are the evidence.
    """

    def __init__(self, store: Healing, clock: Clock, on_death: OnDeath) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._offs: dict[str, tuple[float, float]] = {}
        self._problems: list[str] = []
        self._worker = Worker("clock", self._keep, on_death=on_death, retry_s=EVERY_S)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def heard(self, device: str, off_s: float) -> None:
        """A box's clock is ahead of this machine's by so much, just now. From any thread."""
        with self._lock:
            if device in self._offs or len(self._offs) < MOST_BOXES:
                self._offs[device] = (self._clock.monotonic(), off_s)

    @property
    def problems(self) -> list[str]:
        """For people."""
        return self._problems

    def look(self) -> None:
        """Raises RecordsError."""
        now, offs = self._clock.utc(), self._recent()
        agreeing = sum(abs(off) < TOLD_S for off in offs)
        problems = []
        if now < EARLIEST:
            problems.append("This machine's clock says a year before 2020: set it.")
        elif len(offs) >= MANY and abs(median(offs)) >= TOLD_S:
            problems.append(
                f"Most boxes' clocks differ from this machine's by {abs(median(offs)):,.0f} s: it "
                "is probably this one that is wrong. Set it."
            )
        elif agreeing and 2 * agreeing >= len(offs):
            healed = self._store.heal_times(now)
            if healed:
                why = "this machine's clock was wrong when they came"
                log.warning("times_healed", rows=healed, reason=why)
        elif ahead := self._store.count_ahead(now):
            problems.append(
                f"{ahead} records are dated later than this machine's clock says: it is behind, or "
                "was ahead when they came. As soon as boxes' clocks agree with it they are dated "
                "anew."
            )
        self._problems = problems

    def _recent(self) -> list[float]:
        oldest = self._clock.monotonic() - HEARD_S
        with self._lock:
            self._offs = {who: one for who, one in self._offs.items() if one[0] >= oldest}
            return [off for _, off in self._offs.values()]

    def _keep(self) -> float:
        try:
            self.look()
        except RecordsError as error:
            log.debug("clock_not_looked_at", reason=error.message)
        return EVERY_S
