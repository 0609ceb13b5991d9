"""What a camera box measures of its parts, as counts in bins that never change.

Box and cloud agree on the scales here. A scale that has to change gets another name.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar, get_args

BINS = 128
"""Of each scale: a bin's number is one byte in msgpack."""
Quantity = Literal["score", "brightness", "sharpness", "noise", "novelty"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
Counts = Mapping[int, int]
"""Parts by bin, those bins left out that have none."""
Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, slots=True)
class BinScale:
    """How a measured number becomes a bin.

    unit      for people
    low, high what the first and the last bin begin and end at; what lies beyond is in them
    bend      `none`: bins are equally wide; `log`: each is wider than the last by the same factor;
              `logit`: so are odds, for what lies between 0 and 1
    """

    unit: str
    low: float
    high: float
    bend: Literal["none", "log", "logit"] = "none"

    def bin(self, value: float) -> int | None:
        """0 to BINS - 1; None for what is not a number."""
        return None if value != value else bisect_right(_edges(self), value)  # noqa: PLR0124

    def value(self, position: float) -> float:
        """What lies at a position among the bins, 0 to BINS: where bin n begins, at n."""
        low, high = self._bent(self.low), self._bent(self.high)
        bent = low + (high - low) * position / BINS
        if self.bend == "log":
            return math.exp(bent)
        return 1 / (1 + math.exp(-bent)) if self.bend == "logit" else bent

    def _bent(self, value: float) -> float:
        if self.bend == "log":
            return math.log(value)
        return math.log(value / (1 - value)) if self.bend == "logit" else value


@cache
def _edges(scale: BinScale) -> tuple[float, ...]:
    """Where all bins but the first begin. Boxes ask it for every part: it is computed once."""
    return tuple(scale.value(position) for position in range(1, BINS))


SCALES: Mapping[Quantity, BinScale] = {
    "score": BinScale("", 0.0005, 0.9995, "logit"),
    "brightness": BinScale("of 255", 0.0, 256.0),
    "sharpness": BinScale("", 0.05, 65536.0, "log"),
    "noise": BinScale("of 255", 0.02, 64.0, "log"),
    "novelty": BinScale("times what is known", 0.001, 1000.0, "log"),
}


def total(counts: Counts) -> int:
    """How many parts that are."""
    return sum(counts.values())


def added(several: Iterable[Counts]) -> dict[int, int]:
    """The counts of all together."""
    found: dict[int, int] = {}
    for counts in several:
        for at, count in counts.items():
            found[at] = found.get(at, 0) + count
    return found


def joined(one: Mapping[Name, Counts], other: Mapping[Name, Counts]) -> dict[Name, Counts]:
    """The counts of both together, quantity by quantity."""
    names = [*one, *(name for name in other if name not in one)]
    return {name: added([one.get(name, {}), other.get(name, {})]) for name in names}


def middle(quantity: Quantity, counts: Counts) -> float | None:
    """The median, to within a bin; None of no parts."""
    half, seen = total(counts) / 2, 0
    for at in sorted(counts):
        if seen + counts[at] >= half:
            return SCALES[quantity].value(at + (half - seen) / counts[at])
        seen += counts[at]
    return None
