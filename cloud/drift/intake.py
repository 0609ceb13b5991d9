"""Sketches from boxes: checked here, kept by a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from functools import partial

from cloud.drift.store import DriftStore, ReceivedSketch
from shared.clock import Clock
from shared.errors import RecordsError, WireError
from shared.log import get_logger
from shared.sketch import BINS
from shared.storage.database import UnstorableRecord
from shared.topics import NAME, everyone
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import Sketch
from shared.worker import OnDeath, Worker

log = get_logger("drift")

MOST_WAITING = 5000
# Of one transaction: on SQLite nobody else can write meanwhile, and whoever waits for that only
# looks now and then. After each others have twice its time.
AT_ONCE = 20
OTHERS = 2.0
RETRY_S = 5.0
FORGET_S = 3600.0
MOST_QUANTITIES = 16
MOST_PARTS = 1_000_000
_FIX = "update the older side; until then its sketches are passed over"


class SketchIntake:
    """Any number of workers share what comes. What waits while the database is away is bounded;
    the oldest goes first: a shift that lasts is told by those that follow."""

    def __init__(
        self, store: DriftStore, transport: Transport, clock: Clock, on_death: OnDeath
    ) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._waiting: deque[ReceivedSketch] = deque(maxlen=MOST_WAITING)
        self._came = threading.Event()
        self._forgot = float("-inf")
        self._worker = Worker("drift", self.step, on_death=on_death, unblock=self._came.set)

    def listen(self, group: str) -> None:
        """Subscribe. group: the name of the subscriptions that all workers of this cloud share"""
        shared = everyone("sketch", shared_as=f"{group}-sketch")
        subscribe(self._transport, shared, Sketch, self.arrived)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def arrived(self, arrival: Arrival[Sketch]) -> None:
        """Raises WireError where it is not as agreed."""
        check(arrival.message, len(arrival.body))
        self._waiting.append(ReceivedSketch(arrival.address, arrival.message, self._clock.utc()))
        self._came.set()

    def store_waiting(self) -> int:
        """Keep what has come; how many sketches were new. Raises RecordsError, and keeps them."""
        taken = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        if not taken:
            return 0
        try:
            return self._store.take(taken)
        except UnstorableRecord:
            return sum(map(partial(self._alone), taken))
        except RecordsError:
            self._waiting.extendleft(reversed(taken))
            raise

    def _alone(self, one: ReceivedSketch) -> int:
        """What can't be stored must not keep the others from it."""
        try:
            return self._store.take([one])
        except UnstorableRecord as error:
            log.warning("sketch_refused", device=one.address.device, reason=error.message)
            return 0

    def step(self) -> float:
        """Keep what has come, once something has; seconds until others have had their time."""
        if not self._waiting:
            self._came.wait(FORGET_S)
        self._came.clear()
        if self._worker.stopping.is_set():
            return 0.0
        begun = self._clock.monotonic()
        try:
            self.store_waiting()
            self._forget()
        except RecordsError as error:
            log.warning("sketches_wait", reason=error.message, next_try_s=RETRY_S)
            return RETRY_S
        return OTHERS * (self._clock.monotonic() - begun)

    def _forget(self) -> None:
        now = self._clock.monotonic()
        if now - self._forgot >= FORGET_S:
            self._forgot = now
            self._store.forget(self._clock.utc())


def check(sketch: Sketch, body: int) -> None:
    """Raises WireError where a sketch is not as agreed."""
    if not NAME.fullmatch(sketch.boot):
        raise WireError(f"the boot is {sketch.boot[:80]!r}", fix="63 letters and digits at most")
    if body or len(sketch.counts) > MOST_QUANTITIES or sketch.parts > MOST_PARTS:
        raise WireError(
            f"a sketch of {sketch.parts} parts, {len(sketch.counts)} quantities and {body} B came",
            fix=_FIX,
        )
    for name, bins in sketch.counts.items():
        if any(not 0 <= at < BINS for at in bins) or sum(bins.values()) > sketch.parts:
            raise WireError(f"the {name[:40]} of a sketch is in bins that are none", fix=_FIX)
