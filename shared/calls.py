"""Calls of strangers' functions that may hang: each may take so long, and no longer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from shared.log import get_logger
from shared.worker import Worker

log = get_logger("calls")

R = TypeVar("R")
MOST_HANGING = 4


class CallHangs(TimeoutError):
    """A call has not returned in its time; what it does, and whether it ever ends, is not known."""


class LimitedCalls:
    """Calls functions on a thread of its own, and waits for each no longer than it may take.

    A call that hangs keeps its thread, and the next one gets another: it may run beside it. While
    MOST_HANGING hang nothing is called, and every call fails at once.
    """

    def __init__(self, name: str, limit_s: float) -> None:
        """name: of its threads
        limit_s: that a call may take
        """
        self._name = name
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._lane: _Lane | None = None
        self._hanging: list[_Lane] = []

    def __call__(self, function: Callable[[], R]) -> R:
        """What the function returns, or raises. Raises CallHangs.

        Calls of several threads wait for each other, each in its time.
        """
        with self._lock:
            call = _Call(function)
            lane = self._free_lane()
            lane.calls.put(call)
            if not call.ended.wait(self._limit_s):
                self._lane = None
                self._hanging.append(lane)
                # Should it return after all, its thread ends.
                lane.calls.put(None)
                raise CallHangs(f"it has not returned for {self._limit_s:g} s")
        return call.outcome()

    @property
    def hanging(self) -> int:
        """How many calls hang now."""
        return sum(lane.worker.alive for lane in list(self._hanging))

    def stop(self) -> None:
        """End the thread where it is idle. May be called twice; a call starts another."""
        lane = self._lane
        if lane is not None:
            lane.calls.put(None)

    def _free_lane(self) -> _Lane:
        self._hanging = [lane for lane in self._hanging if lane.worker.alive]
        if len(self._hanging) >= MOST_HANGING:
            raise CallHangs(f"{len(self._hanging)} calls before it have not returned")
        if self._lane is None or not self._lane.worker.alive:
            self._lane = _Lane(self._name)
        return self._lane


class _Call(Generic[R]):
    """One call and what came of it."""

    def __init__(self, function: Callable[[], R]) -> None:
        self._function = function
        self._result: list[R] = []
        self._error: BaseException | None = None
        self.ended = threading.Event()

    def make(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001 - raised where its outcome is wanted
            self._error = error
        self.ended.set()

    def outcome(self) -> R:
        if self._error is not None:
            raise self._error
        return self._result[0]


class _Lane:
    """A thread that makes one call after the other."""

    def __init__(self, name: str) -> None:
        self.calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self.worker = Worker(name, self._make_next, on_death=_no_call_does_that)
        self.worker.start()

    def _make_next(self) -> float | None:
        call = self.calls.get()
        if call is None:
            return None
        call.make()
        return 0.0


def _no_call_does_that(name: str, error: BaseException) -> None:
    log.error("calls_ended", thread=name, error=f"{type(error).__name__}: {error}")
