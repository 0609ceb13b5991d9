"""The gate: pass, reject or escalate, from the head's score. numpy in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.contracts import Decision, Verdict
from shared.errors import SettingsError

SUREST = 1e-6


def logit(probability: float) -> float:
    """Log-odds of a probability, which is kept SUREST away from 0 and 1."""
    kept = min(max(probability, SUREST), 1 - SUREST)
    return math.log(kept / (1 - kept))


def expit(odds: float) -> float:
    """The probability again."""
    return 1 / (1 + math.exp(-odds))


@dataclass(frozen=True, slots=True)
class Gate:
    """Thresholds on scores in 0–1, and how much the tail's score counts in the cloud.

    A head's score below `pass_below` passes, one from `reject_from` on rejects, what lies
    between escalates, or is reviewed by a person where the gate `escalates` nothing. The cloud's
    score, head and tail together, passes below `cloud_pass_below` and rejects from
    `cloud_reject_from` on; what lies between is reviewed. Without `cloud_pass_below` nothing is:
    what is not rejected passes. A score that is not a number escalates at the edge, and in the
    cloud is reviewed, or rejected where nothing is reviewed. `tail_weight` lies in 0–1; with 1 the
    tail alone is asked.
    Raises SettingsError where a threshold to pass lies above the one to reject, or for another
    weight.
    """

    pass_below: float
    reject_from: float
    cloud_reject_from: float
    tail_weight: float = 1.0
    cloud_pass_below: float | None = None
    escalates: bool = True

    def __post_init__(self) -> None:
        if not self.pass_below <= self.reject_from:
            raise SettingsError(
                f"the gate passes below {self.pass_below} and rejects from {self.reject_from}",
                fix="pass_below must not lie above reject_from",
            )
        if self.cloud_pass_below is not None and not (
            self.cloud_pass_below <= self.cloud_reject_from
        ):
            raise SettingsError(
                f"the cloud passes below {self.cloud_pass_below} and rejects from "
                f"{self.cloud_reject_from}",
                fix="cloud_pass_below must not lie above cloud_reject_from",
            )
        if not 0 <= self.tail_weight <= 1:
            raise SettingsError(f"tail_weight is {self.tail_weight}", fix="it must lie in 0–1")

    def decide(self, score: float) -> Decision:
        """At the edge."""
        if score < self.pass_below:
            return Decision.PASS
        if score >= self.reject_from:
            return Decision.REJECT
        return Decision.ESCALATE if self.escalates else Decision.REVIEW

    def cloud_score(self, head: float, tail: float) -> float:
        """Both halves' scores as one: their log-odds, weighed (a logarithmic opinion pool)."""
        if self.tail_weight == 1.0 or math.isnan(tail):
            return tail
        if not math.isfinite(head):
            # The head had no opinion; the tail's stands alone.
            return tail
        weight = self.tail_weight
        return expit(weight * logit(tail) + (1 - weight) * logit(head))

    def without_cloud(self) -> Gate:
        """The same at the edge, where a person looks at what is not sure."""
        return replace(self, escalates=False)

    def conclude(self, score: float) -> Verdict:
        """In the cloud; `score` as `cloud_score` gives it."""
        if self.cloud_pass_below is None:
            return "pass" if score < self.cloud_reject_from else "reject"
        if score < self.cloud_pass_below:
            return "pass"
        return "reject" if score >= self.cloud_reject_from else "review"


def choose_gate(
    edge: NDArray[np.floating],
    defective: NDArray[np.bool_],
    *,
    escape_target: float,
    overkill_target: float,
    cloud_reject_from: float,
    tail_weight: float = 1.0,
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
    return Gate(pass_below, reject_from, cloud_reject_from, tail_weight)
