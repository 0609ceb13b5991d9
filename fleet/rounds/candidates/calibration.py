"""The int8 head and the codec's tables from what devices see in their own pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.report.findings import Exclusion
from shared.errors import FederationError
from shared.features.codec import CodecTables, tables_from_counts
from shared.federation.protocol import TrainOrder, Vector
from shared.federation.questions import Question
from shared.splitnet.calibration import ROUNDING_PICTURES, SHIFT_BINS
from shared.splitnet.network import Head
from shared.splitnet.objective import SYMBOL_LIMIT
from shared.splitnet.quantisation import ranges_of
from shared.splitnet.rounding import input_sizes, int8_convs

CALIBRATION_PICTURES = 128
TABLE_PICTURES = 400


@dataclass(frozen=True, slots=True)
class FleetStatistics:
    """What devices see, as `shared.splitnet.calibration.CalibrationStatistics`.

    order   that names the network whose values devices are sent
    """

    answers: DeviceAnswers
    order: TrainOrder

    def moments(self, head: Head) -> Sequence[Tensor]:
        channels = sum(conv.in_channels for conv in int8_convs(head))
        about = Question("magnitudes", "train", self._share(ROUNDING_PICTURES), self.order)
        found = np.stack(list(self.answers.single(about, (), channels).values()))
        largest = np.maximum(found.max(axis=0), 0.0)
        about = Question(
            "moments",
            "train",
            self._share(ROUNDING_PICTURES),
            self.order,
            scales=[float(one) for one in largest],
        )
        sizes = input_sizes(head, torch.from_numpy(largest))
        mean = self.answers.averaged(about, (), sum(_triangle(own) for own in sizes)).total
        return _unfolded(mean, sizes)

    def ranges(self, measuring: bytes) -> NDArray[np.float32]:
        tensors = ranges_of(measuring)
        about = Question("ranges", "train", self._share(CALIBRATION_PICTURES))
        found = self.answers.single(about, (measuring,), 2 * tensors)
        return merged_ranges(found, self.answers.aside)

    def shifts(self, quantised: bytes, original: bytes) -> NDArray[np.int64]:
        about = Question("shifts", "train", self._share(CALIBRATION_PICTURES))
        summed = self.answers.counted(about, (quantised, original), SHIFT_BINS)
        return np.asarray(summed.total, np.int64)

    def tables(self, head: bytes, channels: int) -> CodecTables:
        """The codec's, for the symbols of an int8 head."""
        about = Question("symbols", "train", self._share(TABLE_PICTURES), limit=SYMBOL_LIMIT)
        width = 2 * SYMBOL_LIMIT + 1
        summed = self.answers.counted(about, (head,), channels * width)
        counts = np.asarray(summed.total, np.int64)
        if (counts < 0).any():
            raise FederationError("the counts of symbols that came are none")
        return tables_from_counts(counts.reshape(channels, width), SYMBOL_LIMIT)

    def _share(self, pictures: int) -> int:
        """Of so many pictures in all, those of one device."""
        return math.ceil(pictures / len(self.answers.names))


def merged_ranges(found: Mapping[str, Vector], aside: list[Exclusion]) -> NDArray[np.float32]:
    """The smallest and the largest of all devices, (2, n). Raises FederationError.

    A device whose smallest lies above its largest is set aside.
    """
    sound = []
    for name, vector in sorted(found.items()):
        low, high = vector.reshape(2, -1)
        if (low > high).any():
            aside.append(Exclusion(name, "ranges: its smallest values lie above its largest"))
        else:
            sound.append((low, high))
    if not sound:
        raise FederationError("no device has answered with ranges that can be")
    lows, highs = zip(*sound, strict=True)
    return np.stack([np.min(lows, axis=0), np.max(highs, axis=0)]).astype(np.float32)


def _triangle(sizes: Tensor) -> int:
    """So many numbers are the upper triangles of moments with inputs (groups, n)."""
    groups, n = sizes.shape
    return groups * n * (n + 1) // 2


def _unfolded(mean: Vector, sizes: Sequence[Tensor]) -> list[Tensor]:
    """Whole matrices from upper triangles, in the inputs' own sizes again."""
    found, start = [], 0
    for own in sizes:
        groups, n = own.shape
        end = start + _triangle(own)
        triangle = torch.from_numpy(mean[start:end].reshape(groups, -1)).double()
        start = end
        whole = torch.zeros(groups, n, n, dtype=torch.float64)
        rows, columns = torch.triu_indices(n, n)
        whole[:, rows, columns] = triangle
        whole[:, columns, rows] = triangle
        found.append(_possible(whole) * own[:, :, None] * own[:, None, :])
    return found


def _possible(moments: Tensor) -> Tensor:
    """The nearest matrices that moments can be: rounding under masks may leave the last digit of
    an eigenvalue below zero."""
    values, vectors = torch.linalg.eigh(moments)
    nearest: Tensor = vectors @ (values.clamp_min(0).unsqueeze(-1) * vectors.mT)
    return nearest
