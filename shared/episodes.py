"""A fault that lasts is told when it begins, by count while it lasts, and when it is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from shared.clock import Clock, SystemClock

AGAIN_S = (10.0, 3600.0)
GROWTH = 6.0
QUIET_S = 10.0
MOST = 256


@dataclass(slots=True)
class _Episode:
    """One fault. `began`, `last`: monotonic seconds; `flaps`: it came back soon after its end."""

    began: float
    last: float
    again_s: float = AGAIN_S[0]
    times: int = 1
    over: bool = False
    flaps: bool = False


class Episodes:
    """Makes few log lines of many faults. Safe to share between threads.

    While a fault lasts it is told after AGAIN_S[0], then after ever longer times, AGAIN_S[1] at
    most. One that is back within QUIET_S is the same one: what comes and goes with every other
    part is told as rarely as what stays. The longest quiet of more than MOST is forgotten.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._known: dict[str, _Episode] = {}

    def met(self, fault: str, tell: Callable[..., object], event: str, **facts: object) -> None:
        """A fault was met.

        fault   its name; what differs from part to part belongs to `facts`
        tell    a logger's method, called with `event` and `facts`; where the fault lasts already
                with `times` and `for_s` too, and not each time
        """
        with self._lock:
            counted = self._count(fault)
        if counted is not None:
            tell(event, **facts, **counted)

    def mended(self, fault: str, tell: Callable[..., object], event: str, **facts: object) -> None:
        """It went well. Told once; of a fault that flaps, after it has been quiet."""
        episode = self._known.get(fault)
        if episode is None or episode.over:
            return
        with self._lock:
            if episode.over or (episode.flaps and self._clock.monotonic() - episode.last < QUIET_S):
                return
            episode.over = True
        tell(event, **facts, times=episode.times, for_s=round(episode.last - episode.began, 1))

    def _count(self, fault: str) -> dict[str, object] | None:
        """What to add to a line about this time; None: say nothing."""
        now = self._clock.monotonic()
        episode = self._known.get(fault)
        if episode is None or (episode.over and now - episode.last >= QUIET_S):
            self._make_room(fault)
            self._known[fault] = _Episode(now, now)
            return {}
        episode.flaps = episode.flaps or episode.over
        episode.over = False
        episode.times += 1
        episode.last = now
        lasted_s = now - episode.began
        if lasted_s < episode.again_s:
            return None
        # Counted from the beginning, so that each silence is longer than the one before.
        episode.again_s = min(episode.again_s * GROWTH, lasted_s + AGAIN_S[1])
        return {"times": episode.times, "for_s": round(lasted_s, 1)}

    def _make_room(self, fault: str) -> None:
        if len(self._known) >= MOST and fault not in self._known:
            del self._known[min(self._known, key=lambda one: self._known[one].last)]
