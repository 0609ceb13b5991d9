"""A tiny bundle with a certificate, and the scores of the parts that it was tested on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import HEAD
from shared.bundles.scores import TESTED, ScoredParts
from shared.certification.certificate import interval
from shared.certification.gate import Gate
from shared.certification.promises import (
    Certificate,
    GateSpec,
    MeasuredShare,
    Promise,
    ReviewShares,
    SystemCertificate,
)
from shared.certification.scores import NovelPictures
from shared.certification.thresholds import METHOD, SystemLimits, choose_thresholds

LIMITS = SystemLimits(escape=0.1, false_reject=0.1, delta=0.05)
PARTS = 160
BEFORE = Gate(0.2, 0.8, 0.5, 0.5)


def drawn_scores(bundle: Bundle) -> ScoredParts:
    """Half of the parts are defective; head and tail mostly know, the tail better."""
    random = np.random.default_rng(0)
    defective = np.arange(PARTS) % 2 == 0
    sides = np.where(defective, 1.0, -1.0)

    def scores(apart: float) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-(apart * sides + random.normal(0, 1.6, PARTS)))))

    none = np.zeros(PARTS, bool)
    return ScoredParts(
        pair=bundle.manifest.pair,
        tail_weight=BEFORE.tail_weight,
        part=np.arange(PARTS),
        defective=defective,
        edge=scores(2.5),
        cloud=scores(3.5),
        encoded=random.integers(500, 1500, PARTS),
        novel=NovelPictures(none, none),
    )


def certified(bundle: Bundle, path: Path, *, keep_scores: bool = True) -> Bundle:
    """The bundle with the gate that these scores give it."""
    tested = drawn_scores(bundle)
    defective, good = tested.kinds
    chosen = choose_thresholds(tested.kinds, LIMITS, BEFORE)
    assert chosen is not None
    gate = chosen.gate
    reviewed = defective.parts_reviewed(gate) + good.parts_reviewed(gate)
    parts = defective.parts + good.parts

    def measured(seen: int, among: int) -> MeasuredShare:
        low, high = interval(seen, among, LIMITS.delta)
        return MeasuredShare(seen=seen, parts=among, low=low, high=high)

    certificate = Certificate(
        delta=LIMITS.delta,
        escape=LIMITS.escape,
        false_reject=LIMITS.false_reject,
        n_defects=defective.parts,
        n_good=good.parts,
        review_share=reviewed / parts,
        review=ReviewShares(
            with_cloud=measured(reviewed, parts),
            without_cloud=measured(reviewed, parts),
            pass_below=gate.pass_below,
            reject_from=gate.reject_from,
            cost_with_cloud=0.3,
            cost_without_cloud=0.5,
        ),
        edge_escapes=Promise(
            limit=LIMITS.escape,
            seen=defective.passed(gate, with_cloud=False),
            counted=chosen.passing.counted,
            parts=defective.parts,
        ),
        edge_overkill=Promise(
            limit=LIMITS.false_reject,
            seen=good.rejected(gate, with_cloud=False),
            counted=chosen.rejecting.counted,
            parts=good.parts,
        ),
        system=SystemCertificate(
            escapes=Promise(
                limit=LIMITS.escape,
                seen=defective.passed(gate, with_cloud=True),
                counted=chosen.passing.counted,
                parts=defective.parts,
            ),
            overkill=measured(good.rejected(gate, with_cloud=True), good.parts),
            pair=bundle.manifest.pair,
            cap_bytes=bundle.manifest.features.cap_bytes,
            weights_compared=1,
        ),
        head=bundle.manifest.files[HEAD].sha256,
        gate=GateSpec(**asdict(gate)),
        runtime="onnx",
        data="drawn",
        data_hash="1" * 64,
        split="calibrate",
        pictures=parts,
        method=METHOD,
        created="2026-11-22T10:00:00Z",
    )
    changes = {"format": 2, "gate": certificate.gate, "certificate": certificate}
    return amend_bundle(bundle, changes, path, {TESTED: tested.to_bytes() if keep_scores else None})
