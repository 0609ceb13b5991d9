"""What happens again and again is logged once, then by count."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from shared.clock import Clock

EVERY_S = 60.0
MOST = 10_000


@dataclass(slots=True)
class _Kept:
    told: float
    since: int


class LogThrottle:
    """Lets each of at most MOST kinds of event through once in EVERY_S. For any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def may_tell(self, what: str) -> int:
        """How many times it has happened since it was last told, this one among them, where it may
        be told now; else 0."""
        now = self._clock.monotonic()
        with self._lock:
            kept = self._kept.get(what)
            if kept is not None and now - kept.told < EVERY_S:
                kept.since += 1
                return 0
            if kept is None and len(self._kept) >= MOST:
                self._kept = {k: one for k, one in self._kept.items() if now - one.told < EVERY_S}
                if len(self._kept) >= MOST:
                    return 0
            count = 1 + (kept.since if kept else 0)
            self._kept[what] = _Kept(now, 0)
            return count
