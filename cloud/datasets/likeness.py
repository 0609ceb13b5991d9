"""Find pictures of the same part where a data set names none.

Pictures of parts in one fixture are alike anyway. So they are compared by what is left of them
without the set's mean picture and the ways in which it changes when a part lies a little otherwise,
is lit a little otherwise, or is turned (Simard et al. 1993: the tangent distance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.glances import FINE, SIDE, Glances, shrunk, unit
from cloud.statistics.neighbours import close_pairs
from shared.errors import SettingsError
from shared.features.picture_file import AS_STORED, loaded

AUTO, NEVER = "auto", "never"
# What is left of two photographs of one thing correlates above the lowest for sure; what is above
# the highest is one thing whatever the set is like (docs/decisions/0063).
LOWEST, HIGHEST = 0.95, 0.98
FINELY = 0.8
FEWEST = 10
SAMPLED = 400
SPREADS = 4.0
BLOCK = 1024

Rows = NDArray[np.float16]
Directions = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SamePart:
    """When two pictures are of one part.

    rule   `auto`, `never`, or from which correlation on, 0–1, of what is left of small copies
    Raises SettingsError for another one.
    """

    rule: str = AUTO

    def __post_init__(self) -> None:
        if self.rule not in {AUTO, NEVER} and self.threshold is None:
            raise SettingsError(
                f"--same-part is {self.rule!r}",
                fix=f"give {AUTO}, {NEVER}, or a correlation in 0–1, say 0.99",
            )

    @property
    def threshold(self) -> float | None:
        try:
            given = float(self.rule)
        except ValueError:
            return None
        return given if 0 < given <= 1 else None


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which pictures show one part.

    labels     int (n,): pictures of one part have the same
    threshold  of the correlation, that was used; None: none were compared
    """

    labels: NDArray[np.intp]
    threshold: float | None

    @property
    def merged(self) -> int:
        """How many pictures joined another's part."""
        return len(self.labels) - len(np.unique(self.labels))


def group_near_identical(
    images: Sequence[Path], seen: Glances, how: SamePart | None = None
) -> Grouping:
    """Group pictures that could be read; each of the others is a group of its own.

    Works in `seen.small`, to hold 100,000 pictures but once: what is in it afterwards is of no use.
    """
    rule = how or SamePart()
    if rule.rule == NEVER or not seen.good.any():
        return Grouping(np.arange(len(images)), None)
    places = np.flatnonzero(seen.good)
    left = _left_over(seen.small if len(places) == len(images) else seen.small[places], SIDE)
    threshold = rule.threshold or _own_threshold(left)
    groups = _Groups(len(images))
    for one, other in close_pairs(left, threshold):
        first, second = int(places[one]), int(places[other])
        if not groups.joined(first, second) and (
            rule.threshold is not None or _alike_finely(images[first], images[second])
        ):
            groups.join(first, second)
    return Grouping(groups.labels(), threshold)


class _Groups:
    """What is joined to what, transitively."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def joined(self, one: int, other: int) -> bool:
        return self._top(one) == self._top(other)

    def join(self, one: int, other: int) -> None:
        self._above[self._top(one)] = self._top(other)

    def labels(self) -> NDArray[np.intp]:
        return np.array([self._top(one) for one in range(len(self._above))], np.intp)

    def _top(self, one: int) -> int:
        while self._above[one] != one:
            self._above[one] = self._above[self._above[one]]
            one = self._above[one]
        return one


def _left_over(rows: Rows, side: int) -> Rows:
    """Rows of unit length without what the set has in common, in place; float16 (n, side²)."""
    common = _common(rows, side)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK].astype(np.float32)
        block -= (block @ common.T) @ common
        block /= np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-6)
        rows[start : start + BLOCK] = block
    return rows


def _common(rows: Rows, side: int) -> Directions:
    """Orthonormal directions, (k, side²): the light's, and where parts are alike their mean's."""
    down, across = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    found = [np.ones((side, side)), across, down]
    mean = rows.mean(axis=0, dtype=np.float32)
    alike = (len(rows) * float(mean @ mean) - 1) / max(len(rows) - 1, 1)
    if len(rows) >= FEWEST and alike > 0.5:
        picture = mean.reshape(side, side).astype(np.float64)
        dy, dx = np.gradient(picture)
        dyy, dyx = np.gradient(dy)
        _, dxx = np.gradient(dx)
        turned, scaled = across * dy - down * dx, across * dx + down * dy
        found += [picture, dx, dy, dxx, dyx, dyy, turned, scaled, across * picture, down * picture]
    directions, _ = np.linalg.qr(np.stack([one.ravel() for one in found], axis=1))
    return np.asarray(directions.T, np.float32)


def _own_threshold(rows: Rows) -> float:
    """From how alike each picture's nearest neighbours are in this set, LOWEST to HIGHEST."""
    if len(rows) < FEWEST:
        return HIGHEST
    chosen = np.random.default_rng(0).permutation(len(rows))[:SAMPLED]
    some = rows[chosen].astype(np.float32)
    nearest = np.full(len(chosen), -1.0, np.float32)
    for start in range(0, len(rows), BLOCK):
        alike = rows[start : start + BLOCK].astype(np.float32) @ some.T
        within = (chosen >= start) & (chosen < start + BLOCK)
        alike[chosen[within] - start, within] = -1
        nearest = np.maximum(nearest, alike.max(axis=0))
    usual = np.arctanh(np.clip(nearest, -0.999999, 0.999999))
    # The least alike quarter: the others may have a twin in the set.
    low, middle = np.percentile(usual, [5, 25])
    return float(np.clip(np.tanh(middle + SPREADS * (middle - low)), LOWEST, HIGHEST))


def _alike_finely(one: Path, other: Path) -> bool:
    fine = [unit(shrunk(loaded(path, AS_STORED), FINE)) for path in (one, other)]
    return float(fine[0] @ fine[1]) > FINELY
