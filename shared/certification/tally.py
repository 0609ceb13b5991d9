"""Scores of parts as counts over thresholds that were fixed beforehand: they add up.

Whoever holds the counts of several devices knows what every gate would have done with their parts
together, and no part's score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.certification.certificate import (
    BINS,
    GRID,
    Counts,
    EdgeChoice,
    PromiseLimits,
    below,
    binned,
    choose_edge,
    parts_allowed,
)
from shared.certification.gate import Gate
from shared.certification.scores import Scored
from shared.errors import FederationError


@dataclass(frozen=True, slots=True)
class ClassTally:
    """Parts that are all good, or all defective, int64 (BINS,) each.

    lowest   parts by their lowest score: from the next threshold on they pass. A part without a
             finite score never does
    highest  parts by their highest: up to that threshold they are rejected
    """

    lowest: Counts
    highest: Counts

    @classmethod
    def of(cls, scored: Scored) -> Self:
        return cls(binned(scored.first_to_pass()), binned(scored.first_to_reject()))

    @property
    def parts(self) -> int:
        return int(self.lowest.sum())

    def passing(self) -> Counts:
        """How many parts pass the edge with each threshold of GRID as `pass_below`."""
        return below(self.lowest)

    def rejected(self) -> Counts:
        """How many are rejected with each threshold of GRID as `reject_from`."""
        return self.parts - below(self.highest)

    def passed_by(self, gate: Gate) -> int:
        """With a gate whose thresholds need not lie on GRID: its lower neighbour there counts."""
        at = int(np.searchsorted(GRID, gate.pass_below, side="right")) - 1
        return int(self.passing()[at]) if at >= 0 else 0

    def rejected_by(self, gate: Gate) -> int:
        at = min(int(np.searchsorted(GRID, gate.reject_from, side="left")), len(GRID) - 1)
        return int(self.rejected()[at])


@dataclass(frozen=True, slots=True)
class ScoreTally:
    """Good and defective parts of one or several devices; `pictures` that they were seen in."""

    defective: ClassTally
    good: ClassTally
    pictures: int

    @classmethod
    def of(cls, defective: Scored, good: Scored) -> Self:
        return cls(
            ClassTally.of(defective), ClassTally.of(good), len(defective.part) + len(good.part)
        )

    def flat(self) -> Counts:
        """As it travels: int64 (LENGTH,)."""
        kinds = (self.defective, self.good)
        parts = [row for kind in kinds for row in (kind.lowest, kind.highest)]
        return np.concatenate([*parts, np.array([self.pictures])])

    @classmethod
    def read(cls, flat: NDArray[np.integer]) -> Self:
        """Raises FederationError for what can't be a sum of such counts."""
        if flat.shape != (LENGTH,) or (flat < 0).any():
            raise FederationError("the counts that came are none", fix=FIND)
        rows = np.asarray(flat[:-1], np.int64).reshape(4, BINS)
        defective, good = ClassTally(rows[0], rows[1]), ClassTally(rows[2], rows[3])
        pictures = int(flat[-1])
        agree = all(int(kind.highest.sum()) == kind.parts for kind in (defective, good))
        if not agree or defective.parts + good.parts > pictures:
            raise FederationError("the counts that came contradict each other", fix=FIND)
        return cls(defective, good, pictures)

    def auroc(self) -> float:
        """By part, from each part's highest score; NaN where one class is absent.

        Scores between the same two thresholds, a hundredth of log-odds apart, count as equal.
        """
        bad, good = self.defective.highest, self.good.highest
        below = np.cumsum(good) - good
        pairs = self.defective.parts * self.good.parts
        return float((bad * (below + good / 2)).sum() / pairs) if pairs else float("nan")

    def gate(self, limits: PromiseLimits) -> EdgeChoice | None:
        """The edge's certified thresholds: exactly those that the scores themselves would give.

        None where the parts are too few.
        """
        return choose_edge(
            self.defective.passing(),
            self.defective.parts,
            self.good.rejected(),
            self.good.parts,
            limits,
        )

    def plain_gate(self, before: Gate, escapes: float, overkill: float) -> Gate:
        """Thresholds that meet both targets on these very parts, and promise nothing.

        Raises FederationError where there are no parts of one kind.
        """
        if not self.defective.parts or not self.good.parts:
            raise FederationError(
                f"{self.good.parts} good and {self.defective.parts} defective parts are kept to "
                "choose a gate by",
                fix="label more parts: a gate needs both kinds",
            )
        passing, rejected = self.defective.passing(), self.good.rejected()
        safe = passing <= parts_allowed(self.defective.parts, escapes)
        pass_below = float(GRID[int(np.flatnonzero(safe)[-1])])
        kept = rejected <= parts_allowed(self.good.parts, overkill)
        reject_from = float(GRID[int(np.flatnonzero(kept)[0])])
        # Where both can be met without escalating, the lower threshold has fewer escapes.
        return Gate(
            min(pass_below, reject_from), reject_from, before.cloud_reject_from, before.tail_weight
        )


LENGTH = 4 * BINS + 1


FIND = "a device answers with what it has not counted: run it again without secure sums to find it"
