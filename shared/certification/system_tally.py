"""Parts under a gate whose edge is chosen, counted over the cloud's thresholds: they add up.

The system's half of what `shared.certification.tally` is for the edge: from the sum of several
devices' counts follows the threshold that their parts' scores, in one place, would have given
the cloud.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.certification.certificate import (
    BINS,
    Counts,
    PromiseLimits,
    Tested,
    binned,
    bins,
    choose_system,
    escaping,
)
from shared.certification.gate import Gate
from shared.certification.scores import Scored
from shared.certification.tally import FIND
from shared.errors import FederationError

SYSTEM_LENGTH = 4 * BINS


@dataclass(frozen=True, slots=True)
class SystemTally:
    """int64 (BINS,) each; a part in bin b passes, or is no longer rejected, from threshold b on.

    tied, later  defective parts as the test counts them (`certificate.escaping`)
    passing      defective parts by when they pass edge and cloud
    rejecting    good parts by up to where edge or cloud reject them
    """

    tied: Counts
    later: Counts
    passing: Counts
    rejecting: Counts

    @classmethod
    def of(cls, defective: Scored, good: Scored, gate: Gate, edge_bin: int) -> Self:
        """`gate` decides at the edge; `edge_bin` as in `shared.certification.certificate`."""
        return cls(
            *escaping(defective, gate.reject_from, edge_bin),
            binned(defective.passing_together(gate)),
            binned(good.rejecting_together(gate)),
        )

    def flat(self) -> Counts:
        """As it travels: int64 (SYSTEM_LENGTH,)."""
        return np.concatenate([self.tied, self.later, self.passing, self.rejecting])

    @classmethod
    def read(cls, flat: NDArray[np.integer]) -> Self:
        """Raises FederationError for what can't be a sum of such counts."""
        if flat.shape != (SYSTEM_LENGTH,) or (flat < 0).any():
            raise FederationError("the system's counts that came are none", fix=FIND)
        found = cls(*np.asarray(flat, np.int64).reshape(4, BINS))
        # Whatever passes has come before, or is counted, and as soon.
        counted = found.before + np.cumsum(found.tied + found.later)
        if found.before < 0 or (counted < np.cumsum(found.passing)).any():
            raise FederationError("the system's counts that came contradict each other", fix=FIND)
        return found

    @property
    def defective(self) -> int:
        return int(self.passing.sum())

    @property
    def before(self) -> int:
        """Defective parts whose head's scores lie below the bin at which the edge's choice ends."""
        return self.defective - int(self.tied.sum() + self.later.sum())

    @property
    def good(self) -> int:
        return int(self.rejecting.sum())

    def choose(self, limits: PromiseLimits, weights_compared: int) -> Tested | None:
        """The cloud's threshold: exactly what the scores themselves would give."""
        return choose_system(self.tied, self.later, self.defective, limits, weights_compared)

    def passed_by(self, cloud_reject_from: float) -> int:
        """Defective parts that pass; a threshold between two of GRID counts as the lower one."""
        return int(np.cumsum(self.passing)[_place(cloud_reject_from)])

    def rejected_by(self, cloud_reject_from: float) -> int:
        """Good parts that are rejected, alike."""
        return self.good - int(np.cumsum(self.rejecting)[_place(cloud_reject_from)])


def _place(threshold: float) -> int:
    return max(0, int(bins(np.array([threshold]))[0]) - 1)
