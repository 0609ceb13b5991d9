"""How far two people agree beyond what chance would have them agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import NamedTuple


class Kappa(NamedTuple):
    """Cohen's κ and an interval for it.

    pairs   on how many things both spoke
    agreed  on how many they said the same
    kappa   1: always the same; 0: as by chance; None where both only ever said one word
    low, high   of the interval, None where there is no κ
    """

    pairs: int
    agreed: int
    kappa: float | None
    low: float | None
    high: float | None


def cohens_kappa(said: Sequence[tuple[Hashable, Hashable]], confidence: float = 0.95) -> Kappa:
    """κ of what two people said of the same things (Cohen 1960).

    said        of each thing what the one and what the other said
    confidence  of the interval: Wilson's (1927) for the share on which they agree, with what
                chance would bring taken as known, so that it holds for few pairs and for perfect
                agreement too
    """
    count = len(said)
    agreed = sum(one == other for one, other in said)
    first, second = Counter(one for one, _ in said), Counter(other for _, other in said)
    chance = sum(first[word] * second[word] for word in first) / count**2 if count else 1.0
    if chance >= 1.0:
        return Kappa(count, agreed, None, None, None)

    def beyond(share: float) -> float:
        return (share - chance) / (1 - chance)

    low, high = wilson(agreed, count, confidence)
    return Kappa(count, agreed, beyond(agreed / count), max(-1.0, beyond(low)), beyond(high))


def wilson(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """An interval for a share (Wilson 1927). count: at least 1"""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / count
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    scale = 1 + z * z / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
