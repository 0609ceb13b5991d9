"""Open parts and their deadlines: whoever settles a part first decides what becomes of it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from shared.clock import Clock
from shared.worker import OnDeath, Worker

P = TypeVar("P")
STOP_S = 2.0


class Deadlines(Generic[P]):
    """Keeps each part until it is settled or its deadline passes, whichever is first.

    Settling removes the part, so that of a verdict and a deadline that race only one acts.

    expired   called with each part whose deadline passed unsettled, on this class's thread
    """

    def __init__(self, clock: Clock, expired: Callable[[P], None], on_death: OnDeath) -> None:
        self._clock = clock
        self._expired = expired
        self._open: dict[int, P] = {}
        self._heap: list[tuple[float, int]] = []
        lock = threading.Lock()
        self._earlier = threading.Condition(lock)
        self._settled = threading.Condition(lock)
        self._worker = Worker(
            "deadlines", self._expire_next, on_death=on_death, unblock=self._look_again
        )

    def __len__(self) -> int:
        return len(self._open)

    def add(self, key: int, at: float, part: P) -> None:
        """`at`: seconds on the monotonic clock."""
        with self._earlier:
            self._open[key] = part
            heapq.heappush(self._heap, (at, key))
            if self._heap[0][1] == key:
                self._earlier.notify_all()

    def settle(self, key: int) -> P | None:
        """The part, for the first who asks; None for everyone after."""
        with self._settled:
            part = self._open.pop(key, None)
            self._settled.notify_all()
            return part

    def open_part(self, key: int) -> P | None:
        """The part where it is not settled yet; it stays open."""
        return self._open.get(key)

    def overdue(self, now: float) -> int | None:
        """The key of the open part whose deadline passed first, None where none has."""
        with self._earlier:
            self._forget_settled()
            return self._heap[0][1] if self._heap and self._heap[0][0] <= now else None

    def expire(self, now: float) -> None:
        """Settle what is due at `now` and say so."""
        for part in self._take_due(now):
            self._expired(part)

    def wait_until_settled(self, timeout_s: float, *, at_most: int = 0) -> bool:
        """Wait until no more than `at_most` parts are open."""
        with self._settled:
            return self._settled.wait_for(lambda: len(self._open) <= at_most, timeout_s)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop(STOP_S)

    def _take_due(self, now: float) -> list[P]:
        due = []
        with self._settled:
            while self._heap and self._heap[0][0] <= now:
                _, key = heapq.heappop(self._heap)
                part = self._open.pop(key, None)
                if part is not None:
                    due.append(part)
            self._settled.notify_all()
        return due

    def _expire_next(self) -> float:
        with self._earlier:
            if self._worker.stopping.is_set():
                return 0.0
            self._forget_settled()
            first = self._heap[0][0] if self._heap else None
            self._earlier.wait(None if first is None else first - self._clock.monotonic())
        self.expire(self._clock.monotonic())
        return 0.0

    def _look_again(self) -> None:
        with self._earlier:
            self._earlier.notify_all()

    def _forget_settled(self) -> None:
        while self._heap and self._heap[0][1] not in self._open:
            heapq.heappop(self._heap)
