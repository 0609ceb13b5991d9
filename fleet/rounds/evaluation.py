"""The present bundle and the candidate on parts that devices keep from training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fleet.rounds.asking import Asking
from fleet.rounds.findings import Overall, Site
from fleet.rounds.record import RoundRecord
from shared.gate import Gate
from shared.questions import Comparison, Question, Threshold
from shared.tally import LENGTH, Tally


@dataclass(frozen=True, slots=True)
class Compared:
    """All devices together, then each by itself."""

    before: Overall
    after: Overall
    single: Mapping[str, Comparison]


def compare(asking: Asking, heads: tuple[bytes, bytes], gates: tuple[Gate, Gate]) -> Compared:
    """The present head and its gate, then the candidate's. Raises FederationError."""
    summed = asking.counted(Question("tally", "test"), heads, 2 * LENGTH)
    halves = np.asarray(summed.total, np.int64).reshape(2, LENGTH)
    before, after = (
        _overall(Tally.read(half), gate) for half, gate in zip(halves, gates, strict=True)
    )
    thresholds = [Threshold(gate.pass_below, gate.reject_from) for gate in gates]
    single = asking.comparisons(Question("comparison", "test", gates=thresholds), heads)
    return Compared(before, after, single)


def sites(
    single: Mapping[str, Comparison], rounds: Sequence[RoundRecord], margin: float
) -> list[Site]:
    """Every device that took part or was compared, by name."""
    took = [one.device for record in rounds for one in record.took_part]
    return [
        Site(name, took.count(name), single.get(name), loss(single.get(name), margin))
        for name in sorted({*took, *single})
    ]


def loss(compared: Comparison | None, margin: float) -> str:
    """Why a device would be worse off; empty where it would not, or has nothing to say it by."""
    if compared is None:
        return ""
    before, after = compared.before, compared.after
    if before.auroc is not None and after.auroc is not None:
        fell = before.auroc - after.auroc
        if fell > margin:
            return f"AUROC falls from {before.auroc:.3f} to {after.auroc:.3f}"
        return ""
    parts = compared.good + compared.defective
    wrong = [one.escapes + one.overkill for one in (before, after)]
    if parts and (wrong[1] - wrong[0]) / parts > margin:
        return f"{wrong[1]} of {parts} parts are judged wrong at the edge, {wrong[0]} before"
    return ""


def _overall(tally: Tally, gate: Gate) -> Overall:
    value = tally.auroc()
    return Overall(
        auroc=value if np.isfinite(value) else None,
        escapes=tally.defective.passed_by(gate),
        overkill=tally.good.rejected_by(gate),
        good=tally.good.parts,
        defective=tally.defective.parts,
    )
