"""How good a bundle is on a split: edge, cloud and the two together, as they will run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from cloud.datasets.dataset import Dataset
from cloud.evaluation.judgements import Judgements, judge
from cloud.evaluation.pixels import PixelsModel
from cloud.evaluation.rates import sweep
from cloud.evaluation.robustness import LADDER, measure_robustness
from cloud.evaluation.scorecard import Evaluation
from cloud.evaluation.scoring import score
from shared.bundles.bundle import Bundle
from shared.bundles.robustness import Robustness


class Trials(NamedTuple):
    """What else is tried. seed: of what is drawn for it."""

    robust: bool = False
    adversarial: bool = False
    seed: int = 0


NONE_TRIED = Trials()


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
    trials: Trials = NONE_TRIED,
) -> Evaluated:
    """Judge one split's samples (`dataset` holds only those), count, and sweep the rates.

    pixels   the cloud model on pixels, to be set beside the bundle; None leaves it out
    seen     how many of the pictures the bundle was trained on, for the report
    trials   disturbed pictures and altered symbols; none unless asked for
    """
    model = PixelsModel(pixels, bundle.manifest.input, runtime, threads) if pixels else None
    found = judge(bundle, dataset, runtime, threads).seen_by(bundle.novelty)
    rates = sweep(bundle, dataset, found, runtime=runtime, threads=threads, model=model)
    figures = score(bundle, dataset, split, found)
    robustness = _tried(
        bundle, dataset, found, trials, split=split, runtime=runtime, threads=threads
    )
    figures = msgspec.structs.replace(figures, rates=rates, seen=seen, robustness=robustness)
    return Evaluated(figures, found)


def _tried(
    bundle: Bundle,
    dataset: Dataset,
    found: Judgements,
    trials: Trials,
    *,
    split: str,
    runtime: str,
    threads: int,
) -> Robustness | None:
    if not (trials.robust or trials.adversarial):
        return None
    adversary = None
    if trials.adversarial:
        from cloud.evaluation.adversary import attack  # noqa: PLC0415 - two seconds of torch

        adversary = attack(
            bundle, dataset, found, runtime=runtime, threads=threads, seed=trials.seed
        )
    return measure_robustness(
        bundle,
        dataset,
        split,
        found,
        runtime=runtime,
        threads=threads,
        seed=trials.seed,
        ladder=LADDER if trials.robust else (),
        adversary=adversary,
    )
