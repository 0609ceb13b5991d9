"""When a camera without a sensor takes its pictures: every so many seconds, none left out."""

from __future__ import annotations

from typing import NamedTuple


class Missed(NamedTuple):
    """Ticks that went by: so many, from monotonic second `first` on."""

    first: float
    ticks: int


class Ticks:
    """Steady, however late each is noticed: what went by meanwhile is counted.

    due   monotonic seconds of the next one
    """

    def __init__(self, start: float, every_s: float) -> None:
        self.due = start + every_s
        self._every_s = every_s

    def noticed(self, now: float) -> Missed:
        """The last one that is due is now; how many before it nobody noticed."""
        first = self.due
        count = max(0, int((now - first) / self._every_s))
        self.due = first + (count + 1) * self._every_s
        return Missed(first, count)
