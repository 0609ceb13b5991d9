"""Time, injected: the agent never asks the machine itself, so tests need no sleep."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Where a component takes the time from."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; only differences mean something."""

    def utc(self) -> float:
        """Seconds since 1970 UTC."""


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> float:
        return time.time()


class ManualClock:
    """A clock that a test moves by hand."""

    def __init__(self, monotonic: float = 1000.0, utc: float = 1_800_000_000.0) -> None:
        self._monotonic = monotonic
        self._utc = utc

    def monotonic(self) -> float:
        return self._monotonic

    def utc(self) -> float:
        return self._utc

    def advance(self, seconds: float) -> None:
        """Both clocks move on by `seconds`."""
        self._monotonic += seconds
        self._utc += seconds


class ManualEvent(threading.Event):
    """An event whose waits take no time: they move a clock on instead."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait()
        if not self.is_set():
            self._clock.advance(timeout)
        return self.is_set()
