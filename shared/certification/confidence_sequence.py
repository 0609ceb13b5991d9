"""Bounds of a share that may be looked at after every part: numpy in, numbers out.

A betting confidence sequence (Waudby-Smith and Ramdas 2024, Estimating means of bounded random
variables by betting, JRSS-B 86) with bets that were fixed beforehand, half of the error for each
side. Whoever bets on parts 0 or 1, that the share is above m, has after k of n

    K(m) = mean over f of (1 + f (1 − m) / m)^k (1 − f)^(n − k)

times the stake. While no part's probability, given those before it, is above m, no bet wins on
average, so K(m) is a nonnegative supermartingale, and by Ville's inequality it ever reaches
2 / delta with probability delta / 2 at most. Only counts matter, not the order in which the parts
of a steady line were labelled.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

# What is bet of what there is: large ones find a gross error soon, small ones a small one at all.
_BETS = 2.0 ** (-np.arange(1, 21) / 2)
STEPS = 40


def interval_at_any_time(count: int, parts: int, delta: float) -> tuple[float, float]:
    """Holds the share of which `count` of `parts` came, at all times together, with confidence
    1 − delta; each end on its own with 1 − delta / 2. (0, 1) where there are no parts.

    The low end is above the largest share that parts had, or the high end below the smallest, with
    probability delta / 2 at most, where the share changes meanwhile. Raises ValueError where so
    many of so many can't be, or delta does not lie between 0 and 1.
    """
    if not 0 <= count <= parts or not 0 < delta < 1:
        raise ValueError(f"{count} of {parts} parts, delta {delta}")
    return _lowest(count, parts, delta), 1 - _lowest(parts - count, parts, delta)


@lru_cache(maxsize=4096)
def _lowest(count: int, parts: int, delta: float) -> float:
    """The smallest share that nobody has won so much against; what was won falls with it."""
    if not count:
        return 0.0
    low, high, wanted = 0.0, count / parts, math.log(2 / delta)
    # Against the share that was seen nothing is won: no other makes these counts likelier.
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _winnings(count, parts, middle) >= wanted:
            low = middle
        else:
            high = middle
    return low


def _winnings(count: int, parts: int, share: float) -> float:
    """log K(share)."""
    won = count * np.log1p(_BETS * (1 - share) / share) + (parts - count) * np.log1p(-_BETS)
    return float(np.logaddexp.reduce(won) - math.log(len(_BETS)))
