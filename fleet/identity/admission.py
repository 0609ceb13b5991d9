"""Slows down who guesses: so many refusals a minute from one address, then a pause."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from shared.clock import Clock

WINDOW_S = 60.0
REFUSALS = 20
ADDRESSES = 4096


class RefusalLimiter:
    """Counts refusals by address; remembers the ADDRESSES that were refused last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again; 0: now."""
        with self._lock:
            times = self._refused.get(address)
            if times is None or len(times) < REFUSALS:
                return 0.0
            return max(0.0, times[0] + WINDOW_S - self._clock.monotonic())

    def refused(self, address: str) -> None:
        with self._lock:
            times = self._refused.setdefault(address, deque(maxlen=REFUSALS))
            times.append(self._clock.monotonic())
            self._refused.move_to_end(address)
            while len(self._refused) > ADDRESSES:
                self._refused.popitem(last=False)
