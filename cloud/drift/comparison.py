"""How far apart two sets of parts lie, as counts in the same bins: numbers in, numbers out."""

from __future__ import annotations

import math
from itertools import pairwise

from shared.sketch import BINS, Counts, total

GROUPS = 10
# Half a part in every group, so that an empty one is no infinity.
SMOOTHING = 0.5
_BASEL = 6 / math.pi**2


def largest_gap(one: Counts, other: Counts) -> float:
    """The statistic of Kolmogorov and Smirnov: the largest distance of the two distribution
    functions, 0–1, where bins end. Both must have parts."""
    parts, others = total(one), total(other)
    gap, below, below_other = 0.0, 0, 0
    for at in sorted(one.keys() | other.keys()):
        below += one.get(at, 0)
        below_other += other.get(at, 0)
        gap = max(gap, abs(below / parts - below_other / others))
    return gap


def band(parts: int, alpha: float) -> float:
    """How far a sample's distribution function lies from the truth at most, but for a share `alpha`
    of samples (Dvoretzky, Kiefer and Wolfowitz 1956, with the constant of Massart 1990). It holds
    for any distribution, and so for counts in bins."""
    return math.sqrt(math.log(2 / alpha) / (2 * parts))


def spent(alpha: float, look: int) -> float:
    """What the look of this number, from 1, may take of an error rate `alpha`: all looks that there
    ever are, together, take no more than all of it."""
    return alpha * _BASEL / look**2


def psi(before: Counts, now: Counts) -> float:
    """Population stability index (Siddiqi, Credit Risk Scorecards, 2006), over groups that hold
    about a tenth of `before` each: below 0.1 hardly any shift, from 0.25 on a major one."""
    limits = _tenths(before)
    found = 0.0
    parts, others = total(before), total(now)
    for low, high in pairwise(limits):
        share = _share(before, low, high, parts, len(limits) - 1)
        later = _share(now, low, high, others, len(limits) - 1)
        found += (later - share) * math.log(later / share)
    return found


def _tenths(counts: Counts) -> list[int]:
    """Bins where groups begin, and the end of the last."""
    limits, seen, all_parts = [0], 0, total(counts)
    for at in sorted(counts):
        seen += counts[at]
        if seen >= all_parts * len(limits) / GROUPS and at + 1 < BINS:
            limits.append(at + 1)
    return [*limits, BINS]


def _share(counts: Counts, low: int, high: int, parts: int, groups: int) -> float:
    within = sum(count for at, count in counts.items() if low <= at < high)
    return (within + SMOOTHING) / (parts + SMOOTHING * groups)
