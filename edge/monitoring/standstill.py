"""Whether parts get their verdicts: what the watchdog is fed with."""

from __future__ import annotations

from typing import Protocol

SLOW_LOOKS = 10
LONGEST_LOOKS = 60
"""Looks are counted, not seconds: after the whole process stood still, nothing in it did."""


class Settles(Protocol):
    """What settles parts.

    inspected   parts that were begun
    inspecting  whether one is being looked at just now
    """

    inspected: int
    inspecting: bool

    def overdue(self) -> int | None:
        """Names the part that has been open for longest after its deadline; None: there is none."""


class Standstill:
    """Tells a line without parts from an agent that hangs; `look` is called once a second.

    A part that is being looked at, or that is open after its deadline, and is still so SLOW_LOOKS
    later, shows that a thread hangs: one that is settled, or none, that all is well.
    """

    def __init__(self, agent: Settles) -> None:
        self._agent = agent
        self._inspected = 0
        self._overdue: int | None = None
        self._inspecting_looks = 0
        self._overdue_looks = 0

    def look(self) -> str:
        """What stands still, in words; empty where nothing does, or not for long enough."""
        agent = self._agent
        inspected, overdue = agent.inspected, agent.overdue()
        stays = agent.inspecting and inspected == self._inspected
        self._inspecting_looks = self._inspecting_looks + 1 if stays else 0
        stays = overdue is not None and overdue == self._overdue
        self._overdue_looks = self._overdue_looks + 1 if stays else 0
        self._inspected, self._overdue = inspected, overdue
        if self._inspecting_looks >= SLOW_LOOKS:
            return f"the {inspected}. part has been looked at for {self._inspecting_looks} s"
        if self._overdue_looks >= SLOW_LOOKS:
            return f"a part got no verdict for {self._overdue_looks} s after its deadline"
        return ""

    @property
    def lasts(self) -> bool:
        """Whether it will not end by itself."""
        return max(self._inspecting_looks, self._overdue_looks) >= LONGEST_LOOKS
