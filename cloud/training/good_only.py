"""Training from good parts alone.

Defects that are painted on good parts teach the network what to look at; a Gaussian over what it
then sees of good parts judges, at both ends. Real defects, where the data has some, are neither
trained on nor chosen by.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloud.datasets.dataset import Dataset
from cloud.statistics.metrics import auroc
from cloud.training.assembly import (
    Origin,
    cloud_scores,
    halves_of,
    inputs_of,
    weigh,
    write_model,
)
from cloud.training.model import ExportedModel, HalfScores, export_model
from cloud.training.options import Options
from cloud.training.painted_defects import FEWEST_PARTS, good_parts, paint_set
from cloud.training.tiles import tiled
from cloud.training.trainer import Trainer
from shared.bundles.bundle import Bundle
from shared.certification.gate import Gate, expit, logit
from shared.console import err, track
from shared.splitnet.good_only import judging_by_good_parts, set_scales, sum_features
from shared.splitnet.network import SplitNet

METHOD = "good-only"
PASS_SHARE = 0.8
CLOUD_PASS_SHARE = 0.95
BATCH = 32


def learn_from(dataset: Dataset, options: Options, run: Path) -> Dataset:
    """What to train on: good parts, and good parts with painted defects.

    Raises DataError or TrainingError where there are too few good parts.
    """
    goods = good_parts(dataset)
    considered = [s for split in FEWEST_PARTS for s in dataset.of(split).samples]
    left_out = len(considered) - len(goods.samples)
    if left_out:
        err.print(
            f"--good-only: {left_out} defective or doubtful pictures of the splits train and "
            "calibrate are left out",
            highlight=False,
        )
    return paint_set(tiled(goods, options.pixels), options, run)


def assemble_good_only(
    net: SplitNet, dataset: Dataset, trainer: Trainer, out: Path, *, name: str, version: str
) -> Bundle:
    """Write the bundle of a network that was trained on what `learn_from` gave.

    dataset   the whole set, as it was read
    Raises TrainingError where the good parts do not differ enough to judge by.
    """
    options, run = trainer.options, trainer.run
    goods = good_parts(dataset)
    learned = tiled(goods, options.pixels)
    train = inputs_of(learned.of("train"), options, run)
    calibrate = inputs_of(learned.of("calibrate"), options, run)
    judging = judging_by_good_parts(net, sum_features(net, _batches(train, "learning good parts")))
    set_scales(judging, _batches(calibrate, "scaling scores"))
    model = export_model(judging, train)
    gate, metrics = _calibrate(model, trainer, goods.of("calibrate"))
    origin = Origin(name, version, dataset, goods, [], options, {"method": METHOD})
    return write_model(model, gate, metrics, origin, out)


def good_gate(halves: HalfScores, tail_weight: float) -> Gate:
    """Thresholds from good parts alone, which say nothing of escapes.

    halves   scores of good parts that shaped nothing
    The edge passes the PASS_SHARE of them that score lowest. It rejects by itself only what lies
    as far above the highest, in log-odds, as this above the median. The cloud passes
    CLOUD_PASS_SHARE of them.
    """
    edge = halves.edge
    median, highest = logit(float(np.median(edge))), logit(float(edge.max()))
    return Gate(
        pass_below=float(np.quantile(edge, PASS_SHARE)),
        reject_from=expit(2 * highest - median),
        cloud_reject_from=float(np.quantile(cloud_scores(halves, tail_weight), CLOUD_PASS_SHARE)),
        tail_weight=tail_weight,
    )


def _calibrate(
    model: ExportedModel, trainer: Trainer, goods: Dataset
) -> tuple[Gate, dict[str, float]]:
    """The gate from good parts; painted ones decide only how much the tail counts."""
    painted, options, run = trainer.dataset.of("calibrate"), trainer.options, trainer.run
    halves = model.judge(inputs_of(painted, options, run), "weighing both halves")
    labels = painted.labels
    tail_weight, cloud = weigh(halves.edge, halves.tail, labels)
    good = halves_of(model, goods, options, run)
    gate = good_gate(good, tail_weight)
    return gate, {
        "painted_edge_auroc": auroc(halves.edge, labels),
        "painted_tail_auroc": auroc(halves.tail, labels),
        "painted_cloud_auroc": auroc(cloud, labels),
        "edge_threshold": float(np.quantile(good.edge, CLOUD_PASS_SHARE)),
    }


def _batches(pictures: NDArray[np.uint8], what: str) -> Iterator[Tensor]:
    for start in track(range(0, len(pictures), BATCH), what):
        yield torch.from_numpy(np.array(pictures[start : start + BATCH]))
