"""What making an int8 head needs to know of pictures, wherever those are: sums and extremes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.certification.gate import logit
from shared.runtime.base import open_runtime
from shared.splitnet.network import Head
from shared.splitnet.rounding import moments

ROUNDING_PICTURES = 42
SHIFT_STEP, SHIFT_REACH = 0.002, 4.0
SHIFT_BINS = 2 * round(SHIFT_REACH / SHIFT_STEP) + 1
Picture = NDArray[np.uint8]


class CalibrationStatistics(Protocol):
    """What pictures show of a network."""

    def moments(self, head: Head) -> Sequence[Tensor]:
        """As `shared.splitnet.rounding.moments`, of some 42 pictures; up to a factor each."""

    def ranges(self, measuring: bytes) -> NDArray[np.float32]:
        """What a model answers that measures, (2, n): the smallest and the largest values."""

    def shifts(self, quantised: bytes, original: bytes) -> NDArray[np.int64]:
        """As `count_shifts`."""


class OwnPictures:
    """Pictures that are here, uint8 (1, c, h, w) each."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self._pictures = pictures

    def moments(self, head: Head) -> Sequence[Tensor]:
        chosen = self._pictures[:: max(1, len(self._pictures) // ROUNDING_PICTURES)]
        return moments(head, [torch.from_numpy(picture) for picture in chosen])

    def ranges(self, measuring: bytes) -> NDArray[np.float32]:
        return measure(measuring, self._pictures)

    def shifts(self, quantised: bytes, original: bytes) -> NDArray[np.int64]:
        return count_shifts(quantised, original, self._pictures)


def measure(measuring: bytes, pictures: Iterable[Picture]) -> NDArray[np.float32]:
    """The smallest and the largest that a measuring model answers, (2, n)."""
    runtime = open_runtime("onnx", measuring)
    found = np.stack([np.asarray(runtime.run(one)[0], np.float32) for one in pictures])
    return np.stack([found[:, 0].min(axis=0), found[:, 1].max(axis=0)])


def count_shifts(
    quantised: bytes, original: bytes, pictures: Iterable[Picture]
) -> NDArray[np.int64]:
    """By how much quantising moves a picture's log-odds: pictures by steps of SHIFT_STEP."""
    pair = open_runtime("onnx", quantised), open_runtime("onnx", original)
    counts = np.zeros(SHIFT_BINS, np.int64)
    for picture in pictures:
        after, before = (logit(float(one.run(picture)[2].reshape(-1)[0])) for one in pair)
        kept = min(max(after - before, -SHIFT_REACH), SHIFT_REACH)
        counts[round((kept + SHIFT_REACH) / SHIFT_STEP)] += 1
    return counts


def median_shift(counts: NDArray[np.integer]) -> float:
    """The median of what `count_shifts` counted, to half a step; 0 of nothing."""
    total = int(counts.sum())
    if not total:
        return 0.0
    upto = np.cumsum(counts)
    low, high = (int(np.searchsorted(upto, n)) for n in ((total + 1) // 2, total // 2 + 1))
    return (low + high) / 2 * SHIFT_STEP - SHIFT_REACH
