"""What is to be done when, for thousands of devices on one thread."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

Action = Callable[[float], None]


class Schedule:
    """Actions by the second on the monotonic clock at which they are due; each is called once.

    An action is given the time at which it was due, not the time at which its turn came.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Action]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, action: Action) -> None:
        heapq.heappush(self._heap, (when, next(self._order), action))

    def every(
        self,
        seconds: float,
        first: float,
        action: Action,
        goes_on: Callable[[float], bool] = lambda _: True,
    ) -> None:
        """Again and again from `first` on, until it no longer `goes_on` when it is due."""

        def act(due: float) -> None:
            if goes_on(due):
                action(due)
                self.at(due + seconds, act)

        self.at(first, act)

    def run_due(self, now: float) -> None:
        """Do what is due at `now`, in order; what that adds for later waits for the next call."""
        while self._heap and self._heap[0][0] <= now:
            when, _, action = heapq.heappop(self._heap)
            action(when)

    def next_in(self, now: float, at_most: float) -> float:
        """Seconds until the first is due, 0 to `at_most`."""
        if not self._heap:
            return at_most
        return min(max(0.0, self._heap[0][0] - now), at_most)
