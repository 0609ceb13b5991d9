"""How a training is doing on the calibrate parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cloud.datasets.pictures import PictureArrays
from cloud.statistics.metrics import auroc
from shared.splitnet.network import SplitNet
from shared.splitnet.objective import judge, judge_pixels

BATCH = 32


@dataclass(frozen=True, slots=True)
class Scores:
    """What both halves say of a split's samples, in their order; probabilities, float32 (n,).

    bits   of the bottleneck, a picture; zeros in the first stage, which has none
    """

    edge: NDArray[np.float32]
    tail: NDArray[np.float32]
    bits: NDArray[np.float32]


def score(net: SplitNet, pictures: PictureArrays, *, on_pixels: bool) -> Scores:
    """Judge prepared pictures.

    on_pixels   without the bottleneck, which is not trained yet
    """
    rows = []
    for start in range(0, len(pictures.inputs), BATCH):
        batch = torch.from_numpy(np.array(pictures.inputs[start : start + BATCH]))
        if on_pixels:
            edge, tail = judge_pixels(net, batch)
            rows.append((edge, tail, torch.zeros(len(batch))))
        else:
            rows.append(judge(net, batch))
    columns = [torch.cat(column).numpy() for column in zip(*rows, strict=True)]
    return Scores(*columns)


def watched(scores: Scores, labels: NDArray[np.bool_]) -> dict[str, float]:
    """A row of the training's curves."""
    return {
        "edge_auroc": auroc(scores.edge, labels),
        "tail_auroc": auroc(scores.tail, labels),
        "kilobytes": float(np.median(scores.bits)) / 8192,
    }
