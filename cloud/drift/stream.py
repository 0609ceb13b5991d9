"""What one device shows of one recipe under one bundle, beside how it was at the beginning.

The first parts are the reference. Each later sketch brings a few looks: at the last parts, at the
last twice as many, and so on. A look finds a shift where the largest gap between the distribution
functions of reference and parts (Kolmogorov and Smirnov) is larger than both their bands together:

    gap > band(reference, α / 2q) + band(parts, what this look may spend of α / 2q)

with q quantities. While parts are drawn independently from what the reference was drawn from, a
stream tells of no shift at all, ever, with probability 1 - α: the reference's band holds or not
once, and each look has its own share of the rest. That bound does not grow with time. Where parts
of a lot resemble each other it does not hold: then a lot is what is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cloud.drift.comparison import band, largest_gap, psi, spent
from shared.sketch import QUANTITIES, Counts, Quantity, added, joined, middle, total

LOOKS = (1, 2, 4, 8, 16, 32)
"""Sketches that a look takes in."""
MOST_RECENT = LOOKS[-1]
LEAST_PARTS = 50
"""Of a quantity in a reference, below which nothing can be said of it: where a box had no time to
measure more, it goes on learning what is usual of that one."""

ByQuantity = Mapping[Quantity, Counts]
StreamState = Literal["learning", "steady", "drifted"]


@dataclass(frozen=True, slots=True)
class ReferenceLimits:
    """reference_parts   the first so many are what later ones are compared with
    false_alarm       α above: of a stream, for as long as its reference lasts
    """

    reference_parts: int = 500
    false_alarm: float = 0.01


@dataclass(frozen=True, slots=True)
class Shift:
    """What the most telling look found of a quantity.

    gap      largest distance of distribution functions, 0–1
    allowed  how large it may be by chance
    psi      population stability index
    parts    that were looked at
    before, now   medians of the reference and of these parts
    since    UTC seconds from which on it is found at every look; None: it is not
    """

    gap: float
    allowed: float
    psi: float
    parts: int
    before: float
    now: float
    since: float | None = None

    @property
    def drifted(self) -> bool:
        return self.gap > self.allowed


@dataclass(frozen=True, slots=True)
class Stream:
    """reference   counts of the first parts, by quantity
    reference_parts, reference_from, reference_until   how many, and from when to when, UTC seconds
    reference_by     who chose it; empty: they were the first under this bundle
    full             whether the reference is complete
    looks            that were taken since
    parts            that came in all
    """

    reference: ByQuantity = field(default_factory=dict)
    reference_parts: int = 0
    reference_from: float | None = None
    reference_until: float | None = None
    reference_by: str = ""
    full: bool = False
    looks: int = 0
    parts: int = 0
    shifts: Mapping[Quantity, Shift] = field(default_factory=dict)

    @property
    def state(self) -> StreamState:
        if not self.full:
            return "learning"
        return "drifted" if any(one.drifted for one in self.shifts.values()) else "steady"

    @property
    def not_compared(self) -> Mapping[Quantity, int]:
        """Of which quantities too few parts were measured, and how many."""
        measured = {name: total(self.reference.get(name, {})) for name in QUANTITIES}
        return {name: parts for name, parts in measured.items() if parts < LEAST_PARTS}

    def taking(
        self,
        parts: int,
        counts: ByQuantity,
        recent: Sequence[ByQuantity],
        at: float,
        limits: ReferenceLimits,
    ) -> Stream:
        """With one sketch more.

        recent   sketches since the reference, the newest first, this one the first of them
        at       UTC seconds
        """
        if not self.full:
            taken = self._learned(parts, counts, at, limits)
        else:
            taken = self._looked(counts, recent, at, limits)
        return replace(taken, parts=self.parts + parts)

    def _learned(
        self, parts: int, counts: ByQuantity, at: float, limits: ReferenceLimits
    ) -> Stream:
        learned = self.reference_parts + parts
        return replace(
            self,
            reference=joined(self.reference, counts),
            reference_parts=learned,
            reference_from=at if self.reference_from is None else self.reference_from,
            reference_until=at,
            full=learned >= limits.reference_parts,
        )

    def _looked(
        self,
        counts: ByQuantity,
        recent: Sequence[ByQuantity],
        at: float,
        limits: ReferenceLimits,
    ) -> Stream:
        rare = {name: counts[name] for name in self.not_compared if name in counts}
        reference = joined(self.reference, rare)
        alpha = limits.false_alarm / (2 * len(QUANTITIES))
        sizes = [size for size in LOOKS if size <= max(len(recent), 1)]
        found: dict[Quantity, Shift] = {}
        for name in QUANTITIES:
            seen = [one.get(name, {}) for one in recent]
            shift = self._shift(name, reference.get(name, {}), seen, sizes, alpha)
            if shift is not None:
                found[name] = self._lasting(name, shift, at)
        return replace(self, reference=reference, looks=self.looks + len(sizes), shifts=found)

    def _shift(
        self,
        name: Quantity,
        reference: Counts,
        recent: Sequence[Counts],
        sizes: Sequence[int],
        alpha: float,
    ) -> Shift | None:
        """Of all looks the one that tells most; None where nothing can be said."""
        parts = total(reference)
        if parts < LEAST_PARTS:
            return None
        best, telling = -math.inf, None
        now: Counts = {}
        taken = 0
        for look, size in enumerate(sizes, start=self.looks + 1):
            now = added([now, *recent[taken:size]])
            taken = size
            if not now:
                continue
            gap = largest_gap(reference, now)
            allowed = band(parts, alpha) + band(total(now), spent(alpha, look))
            if gap - allowed > best:
                best, telling = gap - allowed, (gap, allowed, now)
        if telling is None:
            return None
        gap, allowed, now = telling
        before, after = middle(name, reference), middle(name, now)
        return Shift(gap, allowed, psi(reference, now), total(now), before or 0.0, after or 0.0)

    def _lasting(self, name: Quantity, shift: Shift, at: float) -> Shift:
        if not shift.drifted:
            return shift
        before = self.shifts.get(name)
        since = before.since if before and before.since is not None else at
        return replace(shift, since=since)
