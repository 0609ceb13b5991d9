"""The present bundle and the candidate on parts that devices keep from training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fleet.rounds.configuration.settings import ReleaseSettings
from fleet.rounds.coordination.questioning import Questioning
from fleet.rounds.report.findings import Overall, SiteFindings
from fleet.rounds.report.record import RoundRecord
from shared.certification.certificate import binomial_tails
from shared.certification.gate import Gate
from shared.certification.promises import percent
from shared.certification.tally import LENGTH, ScoreTally
from shared.federation.questions import Comparison, Question, Threshold


@dataclass(frozen=True, slots=True)
class Compared:
    """All devices together, then each by itself."""

    before: Overall
    after: Overall
    single: Mapping[str, Comparison]


def compare(asking: Questioning, heads: tuple[bytes, bytes], gates: tuple[Gate, Gate]) -> Compared:
    """The present head and its gate, then the candidate's. Raises FederationError."""
    summed = asking.counted(Question("tally", "test"), heads, 2 * LENGTH)
    halves = np.asarray(summed.total, np.int64).reshape(2, LENGTH)
    before, after = (
        _overall(ScoreTally.read(half), gate) for half, gate in zip(halves, gates, strict=True)
    )
    thresholds = [Threshold(gate.pass_below, gate.reject_from) for gate in gates]
    single = asking.comparisons(Question("comparison", "test", gates=thresholds), heads)
    return Compared(before, after, single)


def sites(
    single: Mapping[str, Comparison],
    rounds: Sequence[RoundRecord],
    release: ReleaseSettings | None = None,
) -> list[SiteFindings]:
    """Every device that took part or was compared, by name."""
    took = [one.device for record in rounds for one in record.took_part]
    return [
        SiteFindings(
            name,
            took.count(name),
            single.get(name),
            loss(single[name], release) if release and name in single else "",
        )
        for name in sorted({*took, *single})
    ]


def loss(compared: Comparison, release: ReleaseSettings) -> str:
    """Why a device would be worse off; empty where it would not.

    Its ranking may fall by the margin at most. And one gate is for all devices: where parts of this
    one err more often than before, they may do so no more often than the promise lets expect.
    """
    before, after, promise = compared.before, compared.after, release.promise
    told = []
    known = before.auroc is not None and after.auroc is not None
    if known and (before.auroc or 0.0) - (after.auroc or 0.0) > release.margin:
        told.append(f"AUROC falls from {before.auroc:.3f} to {after.auroc:.3f}")
    if after.escapes > before.escapes and _contradicts(
        after.escapes, compared.defective, promise.escapes, promise.delta
    ):
        told.append(
            f"{after.escapes} of {compared.defective} defective parts pass at the edge, "
            f"{before.escapes} before; {percent(promise.escapes)} were to"
        )
    if after.overkill > before.overkill and _contradicts(
        after.overkill, compared.good, promise.overkill, promise.delta
    ):
        told.append(
            f"{after.overkill} of {compared.good} good parts are rejected at the edge, "
            f"{before.overkill} before; {percent(promise.overkill)} were to be"
        )
    return "; ".join(told)


def _contradicts(erring: int, parts: int, limit: float, delta: float) -> bool:
    """Whether so many or more of these parts are rarer than delta where a share `limit` errs."""
    return erring > 0 and 1 - float(binomial_tails(parts, limit)[erring - 1]) < delta


def _overall(tally: ScoreTally, gate: Gate) -> Overall:
    value = tally.auroc()
    return Overall(
        auroc=value if np.isfinite(value) else None,
        escapes=tally.defective.passed_by(gate),
        overkill=tally.good.rejected_by(gate),
        good=tally.good.parts,
        defective=tally.defective.parts,
    )
