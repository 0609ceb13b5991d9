"""The gate: pass, reject or escalate, from the head's score. numpy in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.contracts import Decision, Verdict
from shared.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Gate:
    """Three thresholds on scores in 0–1.

    A head's score below `pass_below` passes, one from `reject_from` on rejects, what lies
    between escalates. A tail's score from `tail_reject_from` on rejects. A score that is not a
    number escalates at the edge and rejects in the cloud.
    Raises SettingsError where pass_below lies above reject_from.
    """

    pass_below: float
    reject_from: float
    tail_reject_from: float

    def __post_init__(self) -> None:
        if not self.pass_below <= self.reject_from:
            raise SettingsError(
                f"the gate passes below {self.pass_below} and rejects from {self.reject_from}",
                fix="pass_below must not lie above reject_from",
            )

    def decide(self, score: float) -> Decision:
        """At the edge."""
        if score < self.pass_below:
            return Decision.PASS
        if score >= self.reject_from:
            return Decision.REJECT
        return Decision.ESCALATE

    def conclude(self, score: float) -> Verdict:
        """In the cloud, which has nobody to ask."""
        return "pass" if score < self.tail_reject_from else "reject"


def choose_gate(
    edge: NDArray[np.floating],
    defective: NDArray[np.bool_],
    *,
    escape_target: float,
    overkill_target: float,
    tail_reject_from: float,
) -> Gate:
    """Thresholds that escalate least on these samples while meeting both targets on them.

    edge       the head's scores of samples that it was not trained on, 0–1
    defective  their labels
    targets    share of defective samples that may pass, of good ones that may be rejected, at
               the edge. Empirical: a promise about parts to come is the certificate's business.
    """
    bad, good = np.sort(edge[defective]), np.sort(edge[~defective])
    if not len(bad) or not len(good):
        raise SettingsError(
            f"{len(good)} good and {len(bad)} defective samples came",
            fix="a gate needs both kinds among the calibration parts",
        )
    pass_below = float(bad[int(np.floor(escape_target * len(bad)))])
    allowed = int(np.floor(overkill_target * len(good)))
    reject_from = float(np.nextafter(good[len(good) - 1 - allowed], 2.0))
    if pass_below > reject_from:
        # Both targets can be met without escalating: meet in the middle.
        pass_below = reject_from = (pass_below + reject_from) / 2
    return Gate(pass_below, reject_from, tail_reject_from)
