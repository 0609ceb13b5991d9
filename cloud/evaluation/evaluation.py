"""How good a bundle is on a split: edge, cloud and the two together, as they will run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from cloud.datasets.dataset import Dataset
from cloud.evaluation.judgements import Judgements, judge
from cloud.evaluation.pixels import PixelsModel
from cloud.evaluation.rates import sweep
from cloud.evaluation.scorecard import Evaluation
from cloud.evaluation.scoring import score
from shared.bundles.bundle import Bundle


class Evaluated(NamedTuple):
    """The figures, and what was said of each sample."""

    figures: Evaluation
    judgements: Judgements


def evaluate(
    bundle: Bundle,
    dataset: Dataset,
    split: str,
    runtime: str = "auto",
    *,
    pixels: Path | None = None,
    threads: int = 0,
    seen: int = 0,
) -> Evaluated:
    """Judge one split's samples (`dataset` holds only those), count, and sweep the rates.

    pixels   the cloud model on pixels, to be set beside the bundle; None leaves it out
    seen     how many of the pictures the bundle was trained on, for the report
    """
    model = PixelsModel(pixels, bundle.manifest.input, runtime, threads) if pixels else None
    found = judge(bundle, dataset, runtime, threads).seen_by(bundle.novelty)
    rates = sweep(bundle, dataset, found, runtime=runtime, threads=threads, model=model)
    figures = score(bundle, dataset, split, found)
    return Evaluated(msgspec.structs.replace(figures, rates=rates, seen=seen), found)
