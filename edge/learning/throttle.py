"""When a device may learn beside its line: not while the line is slower for it."""

from __future__ import annotations

from collections.abc import Sequence

from edge.monitoring.health import BoxHealth
from shared.clock import Clock

RATIO = 1.5
FEWEST_PARTS = 50
WINDOW = 200
LONGEST_PAUSE_S = 30.0
FIRST_PAUSE_S = 1.0
SETTLED_S = 10.0
MISSED = "deadlines_missed"


class Throttle:
    """Compares the line's p99 while the learner works with its p99 while nobody learns.

    Called by one thread. Where the line is slower by RATIO, or misses a deadline, the learner
    stops for a pause; each time that happens soon again, for twice as long.
    """

    def __init__(self, health: BoxHealth, clock: Clock) -> None:
        self._health = health
        self._clock = clock
        self._learning = False
        self._idle: Sequence[float] = ()
        self._since = 0
        self._missed = 0
        self._begun = 0.0
        self._resume_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.pauses = 0

    def may_learn(self, *, wants: bool) -> bool:
        """Whether the learner may work until the next call; `wants`: it has something to do."""
        now = self._clock.monotonic()
        if not self._learning:
            self._remember_idle()
            if wants and now >= self._resume_at:
                self._begin(now)
            return self._learning
        if not wants:
            self._learning = False
            self._since = self._health.pace.seen
        elif self._line_suffers():
            self._stop(now)
        elif now - self._begun >= SETTLED_S:
            self._pause_s = FIRST_PAUSE_S
        return self._learning

    @property
    def idle_p99_ms(self) -> float | None:
        """The line's own, None while too few parts are known."""
        return p99(self._idle) if len(self._idle) >= FEWEST_PARTS else None

    def _line_suffers(self) -> bool:
        if self._health.counts.get(MISSED, 0) > self._missed:
            return True
        times = self._health.pace.last(min(WINDOW, self._health.pace.seen - self._since))
        idle = self.idle_p99_ms
        return idle is not None and len(times) >= FEWEST_PARTS and p99(times) > RATIO * idle

    def _remember_idle(self) -> None:
        times = self._health.pace.last(min(WINDOW, self._health.pace.seen - self._since))
        if len(times) >= FEWEST_PARTS:
            self._idle = times

    def _begin(self, now: float) -> None:
        self._learning = True
        self._begun = now
        self._since = self._health.pace.seen
        self._missed = self._health.counts.get(MISSED, 0)

    def _stop(self, now: float) -> None:
        self._learning = False
        self.pauses += 1
        self._since = self._health.pace.seen
        self._resume_at = now + self._pause_s
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)


def p99(times: Sequence[float]) -> float:
    """The time that one part in a hundred exceeds."""
    ordered = sorted(times)
    return ordered[int(0.99 * (len(ordered) - 1))]
