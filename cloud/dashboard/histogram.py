"""Scores of good and of defective parts as bars on one axis of log-odds, for a drawing of SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.certification.certificate import GRID, REACH, STEP

# Log-odds of both ends; what lies beyond is drawn at the end.
LOW, HIGH = -10.0, 10.0
WIDTH, HEIGHT = 1000.0, 100.0
BARS = 50
TICKS = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


@dataclass(frozen=True, slots=True)
class Bar:
    """x and width of WIDTH, height of HEIGHT; `count` pictures score from `low` to `high`."""

    x: float
    width: float
    height: float
    count: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Bars of both kinds, each as high as its own highest.

    most     pictures in the highest bar of each kind
    without  pictures whose score is not known
    """

    good: Sequence[Bar]
    defective: Sequence[Bar]
    most_good: int
    most_defective: int
    without: int


def histogram(scores: NDArray[np.float64], defective: NDArray[np.bool_]) -> ScoreHistogram:
    """Of pictures, (n,): their scores, NaN where there is none, and what their parts are."""
    known = np.isfinite(scores)
    good, most_good = _bars(scores[known & ~defective])
    bad, most_bad = _bars(scores[known & defective])
    return ScoreHistogram(good, bad, most_good, most_bad, int((~known).sum()))


def ticks() -> list[tuple[float, str]]:
    """Where scores stand on the axis."""
    return [(x_of(math.log(score / (1 - score))), f"{score:g}") for score in TICKS]


def x_of(odds: float) -> float:
    return (min(max(odds, LOW), HIGH) - LOW) / (HIGH - LOW) * WIDTH


def x_of_place(place: int) -> float:
    """Of a threshold, by its place on the grid of thresholds."""
    if place in {0, len(GRID) - 1}:
        return 0.0 if place == 0 else WIDTH
    return x_of(-REACH + (place - 1) * STEP)


def _bars(scores: NDArray[np.float64]) -> tuple[list[Bar], int]:
    edges = np.linspace(LOW, HIGH, BARS + 1)
    if not len(scores):
        return [], 0
    kept = np.clip(scores, 1e-9, 1 - 1e-9)
    counts, _ = np.histogram(np.clip(np.log(kept / (1 - kept)), LOW, HIGH), edges)
    most = int(counts.max())
    width = WIDTH / BARS
    bars = [
        Bar(place * width, width, HEIGHT * int(count) / most, int(count), *_scores(edges, place))
        for place, count in enumerate(counts)
        if count
    ]
    return bars, most


def _scores(edges: NDArray[np.float64], place: int) -> tuple[float, float]:
    low, high = (float(1 / (1 + np.exp(-edges[at]))) for at in (place, place + 1))
    return (0.0 if place == 0 else low), (1.0 if place == BARS - 1 else high)
