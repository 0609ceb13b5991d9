"""95 % confidence intervals whose unit is the part. numpy in, numbers out.

Pictures of one part are alike, so counting each for itself would promise too much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from shared.certification.certificate import interval

CONFIDENCE = 0.95
# Where the square root below has its steep end, a root is looked for from just beside it.
BESIDE = 1e-9


class Interval(msgspec.Struct, frozen=True):
    """Holds the true value with a confidence of 95 %."""

    low: float
    high: float


class PartRate(msgspec.Struct, frozen=True):
    """How many parts erred; a part errs where any of its pictures does.

    rate      wrong / parts; None where there are no parts
    interval  exact (Clopper and Pearson 1934)
    """

    wrong: int
    parts: int
    rate: float | None
    interval: Interval | None


def part_rate(wrong: NDArray[np.bool_], among: NDArray[np.bool_], parts: Sequence[str]) -> PartRate:
    """Count parts: those with a picture in `among`, and those with a picture wrong in it.

    wrong, among  bool (n,), of pictures; parts: which part each shows, n names
    """
    names = np.array(parts)
    held = len(np.unique(names[among]))
    erring = len(np.unique(names[among & wrong]))
    if not held:
        return PartRate(0, 0, None, None)
    return PartRate(erring, held, erring / held, exact_interval(erring, held))


def exact_interval(count: int, of: int) -> Interval:
    """Of a share that `count` of `of` independent trials had (Clopper and Pearson 1934)."""
    return Interval(*interval(count, of, 1 - CONFIDENCE))


def auroc_interval(area: float, defective: int, good: int) -> Interval:
    """Of an AUROC seen on `defective` and `good` parts (Newcombe 2006, method 5).

    area   the AUROC, 0–1
    A score interval that stays within 0–1 and does not collapse at 1, as a bootstrap over
    parts does. Counting parts is cautious where a part has several pictures.
    Source: Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2, Statistics in Medicine 25 (2006), with the variance of Hanley and McNeil
    (Radiology 143, 1982).
    """
    width = float(norm.ppf((1 + CONFIDENCE) / 2))
    extra = (defective + good) / 2 - 1

    def spread(true: float) -> float:
        shape = (1 - true) / (2 - true) + true / (1 + true)
        return width * math.sqrt(true * (1 - true) * (1 + extra * shape) / (defective * good))

    low, high = 0.0, 1.0
    if area > BESIDE:
        low = brentq(lambda t: area - t - spread(t), 0.0, min(area, 1 - BESIDE))
    if area < 1 - BESIDE:
        high = brentq(lambda t: t - area - spread(t), max(area, BESIDE), 1.0)
    return Interval(float(low), float(high))
