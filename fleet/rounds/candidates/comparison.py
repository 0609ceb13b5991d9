"""The present bundle and the candidate on parts that devices keep from training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fleet.rounds.configuration.settings import ReleaseSettings
from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.report.findings import FleetStanding
from shared.certification.certificate import binomial_tails
from shared.certification.gate import Gate
from shared.certification.promises import percent
from shared.certification.tally import LENGTH, ScoreTally
from shared.federation.questions import Comparison, Question, Threshold


@dataclass(frozen=True, slots=True)
class FleetComparison:
    """All devices together, then each by itself."""

    before: FleetStanding
    after: FleetStanding
    single: Mapping[str, Comparison]


def compare(
    answers: DeviceAnswers, heads: tuple[bytes, bytes], gates: tuple[Gate, Gate]
) -> FleetComparison:
    """The present head and its gate, then the candidate's. Raises FederationError."""
    summed = answers.counted(Question("tally", "test"), heads, 2 * LENGTH)
    halves = np.asarray(summed.total, np.int64).reshape(2, LENGTH)
    before, after = (
        _standing(ScoreTally.read(half), gate) for half, gate in zip(halves, gates, strict=True)
    )
    thresholds = [Threshold(gate.pass_below, gate.reject_from) for gate in gates]
    single = answers.comparisons(Question("comparison", "test", gates=thresholds), heads)
    return FleetComparison(before, after, single)


def loss(compared: Comparison, release: ReleaseSettings) -> str:
    """Why a device would be worse off; empty where it would not.

    Its ranking may fall by the margin at most. And one gate is for all devices: where parts of this
    one err more often than before, they may do so no more often than the promise lets expect.
    """
    before, after, promise = compared.before, compared.after, release.promise
    reasons = []
    known = before.auroc is not None and after.auroc is not None
    if known and (before.auroc or 0.0) - (after.auroc or 0.0) > release.margin:
        reasons.append(f"AUROC falls from {before.auroc:.3f} to {after.auroc:.3f}")
    if after.escapes > before.escapes and _contradicts(
        after.escapes, compared.defective, promise.escapes, promise.delta
    ):
        reasons.append(
            f"{after.escapes} of {compared.defective} defective parts pass at the edge, "
            f"{before.escapes} before; {percent(promise.escapes)} were to"
        )
    if after.overkill > before.overkill and _contradicts(
        after.overkill, compared.good, promise.overkill, promise.delta
    ):
        reasons.append(
            f"{after.overkill} of {compared.good} good parts are rejected at the edge, "
            f"{before.overkill} before; {percent(promise.overkill)} were to be"
        )
    return "; ".join(reasons)


def _contradicts(erring: int, parts: int, limit: float, delta: float) -> bool:
    """Whether so many or more of these parts are rarer than delta where a share `limit` errs."""
    return erring > 0 and 1 - float(binomial_tails(parts, limit)[erring - 1]) < delta


def _standing(tally: ScoreTally, gate: Gate) -> FleetStanding:
    value = tally.auroc()
    return FleetStanding(
        auroc=value if np.isfinite(value) else None,
        escapes=tally.defective.passed_by(gate),
        overkill=tally.good.rejected_by(gate),
        good=tally.good.parts,
        defective=tally.defective.parts,
    )
