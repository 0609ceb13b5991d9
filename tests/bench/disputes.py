"""Of labels turned over on purpose, how many the scores dispute, and how soon."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from cloud.datasets.dataset import GOOD, Sample
from cloud.datasets.readers import read
from cloud.disputes.evidence import label_quality
from cloud.evaluation.judgements import judge
from cloud.evaluation.label_evidence import label_evidence
from shared.bundles.bundle import Bundle

DATA = "SPLITSIGHT_LABELS_DATA"
"""A data set as `--data` takes it; `elpv` unless given."""
SHARE = 0.05
SEED = 7


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """One row for the pictures that the bundle has learned from, and one for the others."""
    del folder
    bundle, dataset = Bundle.open(bundle_path), read(os.environ.get(DATA, "elpv"))
    wrong = np.random.default_rng(SEED).random(len(dataset.samples)) < SHARE
    turned = replace(
        dataset,
        samples=tuple(
            _turned(one) if is_wrong else one
            for one, is_wrong in zip(dataset.samples, wrong, strict=True)
        ),
    )
    evidence = label_evidence(bundle, turned, judge(bundle, turned))
    found = label_quality(turned, evidence, bundle=bundle.manifest.name)
    place = {str(one.image): number for number, one in enumerate(turned.samples)}
    ranked = np.array([place[one.image] for one in found.disputed], np.intp)
    return [
        _row(name, ranked[chosen[ranked]], wrong, int((wrong & chosen).sum()))
        for name, chosen in (("learned", evidence.learned), ("not learned", ~evidence.learned))
    ]


def _turned(one: Sample) -> Sample:
    return replace(one, defect=GOOD if one.defective else "defect", target=float(not one.defective))


def _row(name: str, ranked: np.ndarray, wrong: np.ndarray, planted: int) -> dict[str, object]:
    """Shares are 0–1: of those listed that were planted, and of those planted that are listed."""

    def shares(most: int) -> str:
        right = int(wrong[ranked[:most]].sum())
        return f"{right / max(1, len(ranked[:most])):.2f} / {right / max(1, planted):.2f}"

    return {
        "pictures": name,
        "turned": planted,
        "listed": len(ranked),
        "first 10": shares(10),
        "first 20": shares(20),
        "as many as turned": shares(planted),
        "all": shares(len(ranked)),
    }
