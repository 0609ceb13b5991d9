"""Whether a share stays as it was: a control chart of shares of unequal numbers of parts.

Laney's p′ chart (2002, Improved control charts for attributes, Quality Engineering 14): limits lie
three standard deviations of a binomial share around the mean, times how much more the points differ
from each other than parts of a steady line would. With thousands of parts in a point, a plain p
chart calls everything out of control.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cloud.quality.shares import QualityShare

SIGMAS = 3.0
RUN = 8
# The mean of the difference of two standard normal numbers (Montgomery, d2 of two).
D2 = 1.128
FEWEST = 6
"""Points without which nothing is said: limits from fewer are chance."""


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """One point; `low` and `high` are its limits, None where there are none.

    signal   "" in control; `above` or `below` a limit; `run`: the eighth or a later one in a row
             on the same side of the mean
    """

    share: QualityShare
    low: float | None
    high: float | None
    signal: str


@dataclass(frozen=True, slots=True)
class ControlChart:
    """centre: the mean of all parts; None where there are none. spread: how many times as much the
    points differ as parts of a steady line would, at least 1
    """

    points: Sequence[ChartPoint]
    centre: float | None
    spread: float

    @property
    def signals(self) -> list[ChartPoint]:
        return [one for one in self.points if one.signal]


def control_chart(shares: Sequence[QualityShare]) -> ControlChart:
    """Points in the order of time; one without parts has no place in the chart."""
    held = [one for one in shares if one.parts]
    parts = sum(one.parts for one in held)
    if not parts:
        return ControlChart([ChartPoint(one, None, None, "") for one in shares], None, 1.0)
    centre = sum(one.count for one in held) / parts
    if len(held) < FEWEST or not 0 < centre < 1:
        return ControlChart([ChartPoint(one, None, None, "") for one in shares], centre, 1.0)
    spread = _spread(held, centre)
    side, length, points = 0, 0, list[ChartPoint]()
    for one in shares:
        if not one.parts:
            points.append(ChartPoint(one, None, None, ""))
            continue
        rate = one.count / one.parts
        half = SIGMAS * spread * math.sqrt(centre * (1 - centre) / one.parts)
        low, high = max(0.0, centre - half), min(1.0, centre + half)
        now = (rate > centre) - (rate < centre)
        length = length + 1 if now and now == side else abs(now)
        side = now
        signal = "above" if rate > high else "below" if rate < low else ""
        points.append(ChartPoint(one, low, high, signal or ("run" if length >= RUN else "")))
    return ControlChart(points, centre, spread)


def _spread(held: Sequence[QualityShare], centre: float) -> float:
    """From how far neighbours lie apart, so that a slow drift does not widen the limits."""
    scores = [
        (one.count / one.parts - centre) / math.sqrt(centre * (1 - centre) / one.parts)
        for one in held
    ]
    moved = [abs(after - before) for before, after in pairwise(scores)]
    return max(1.0, sum(moved) / len(moved) / D2)
