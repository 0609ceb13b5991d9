"""Which parts a person looks at whatever the system makes of them."""

from __future__ import annotations

import random
from collections import deque
from statistics import median

PACE_PARTS = 31
HOUR_S = 3600.0


class ControlSample:
    """Draws each part by itself, with a probability that gives so many an hour at the line's pace.

    The pace is the median time between the last triggers: parts after a stop are drawn as seldom as
    others. Nothing of the part itself counts, so that what is drawn stands for all parts. The first
    part after a start is not drawn, since there is no pace yet.
    """

    def __init__(self, parts_per_hour: float, seed: int | None = None) -> None:
        """seed: so that a test can say which are drawn; None: nobody can foretell it"""
        self._parts_per_hour = parts_per_hour
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311
        self._last: float | None = None
        self._between: deque[float] = deque(maxlen=PACE_PARTS)

    def draws(self, triggered: float) -> bool:
        """Whether the next part is one; `triggered`: seconds on the monotonic clock."""
        if not self._parts_per_hour:
            return False
        if self._last is not None:
            self._between.append(max(triggered - self._last, 0.0))
        self._last = triggered
        if not self._between:
            return False
        return self._random.random() < self._parts_per_hour * median(self._between) / HOUR_S
