"""How much of the link pictures may have: live escalations use it too, and go first."""

from __future__ import annotations

from shared.clock import Clock

PER_S = 4.0
BURST = 8.0
# Small at first: what a small piece takes is the way itself.
LEAST_BYTES, MOST_BYTES = 4 << 10, 64 << 10
# So long may an escalation wait behind a piece. A tenth of a usual deadline.
SLOW_S = 0.05
# For a piece's way and the next request's, over half of the world: what takes longer is slow.
FARTHEST_S = 0.4
LONGEST_REST_S = 1.0
GONE_S = 5.0


class PicturePace:
    """One piece at a time is under way. Its size follows the link, and after each there is silence
    for as long as it took: half of the time belongs to others.

    The way of the fastest exchange does not count: a cloud that is far away is no slow link.
    For one thread.

    piece   bytes of the next one
    """

    def __init__(self, clock: Clock, per_s: float = PER_S) -> None:
        """per_s: pictures and maps that are begun in a second"""
        self._clock = clock
        self._per_s = per_s
        self._left = BURST
        self._counted_at = clock.monotonic()
        self._sent_at: float | None = None
        self._sent = 0
        self._way_s = FARTHEST_S
        self._quiet_until = float("-inf")
        self.piece = LEAST_BYTES

    def admits(self) -> bool:
        """Whether one more picture may be begun now; it counts if so."""
        now = self._clock.monotonic()
        self._left = min(BURST, self._left + (now - self._counted_at) * self._per_s)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    @property
    def wait_s(self) -> float:
        """Seconds until the next piece may go, 0 for now."""
        return max(0.0, self._quiet_until - self._clock.monotonic())

    def sent(self, size: int) -> None:
        """A piece of so many bytes is on its way."""
        self._sent_at, self._sent = self._clock.monotonic(), size

    def asked_on(self) -> None:
        """The other side has that piece, for it wants the one after it."""
        if self._sent_at is None:
            return
        now = self._clock.monotonic()
        took_s = now - self._sent_at
        self._sent_at = None
        if took_s > GONE_S:
            return
        self._way_s = min(self._way_s, took_s)
        behind_s = took_s - self._way_s
        if behind_s > SLOW_S:
            self.piece = max(LEAST_BYTES, self.piece // 2)
        elif self._sent >= self.piece:
            self.piece = min(MOST_BYTES, 2 * self.piece)
        self._quiet_until = now + min(behind_s, LONGEST_REST_S)
