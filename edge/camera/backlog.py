"""Old frames of a live stream: what waited in buffers while the process stood still."""

from __future__ import annotations

STALL_S = 0.25


class StreamBacklog:
    """Tells frames that waited from fresh ones, by how long the reader had to wait for them.

    After a process has stood still, the next frames come as fast as they can be decoded, one after
    the other: each shows a part that has long passed. The first that had to be waited for is fresh.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._period_s: float | None = None
        self._behind = False

    def is_stale(self, asked: float, came: float) -> bool:
        """Of a frame that was asked for and came at these monotonic seconds."""
        last, self._last = self._last, came
        if last is None:
            return False
        gap_s, waited_s = came - last, came - asked
        period_s = self._period_s
        if period_s is None:
            self._period_s = gap_s
            return False
        if gap_s > STALL_S + 3 * period_s:
            # This one may have been under way before, or be the first for a long time.
            self._behind = True
            return True
        if self._behind and waited_s < period_s / 2:
            return True
        self._behind = False
        self._period_s = period_s + (gap_s - period_s) / 8
        return False
