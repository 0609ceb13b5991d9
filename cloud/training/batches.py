"""Shuffled, augmented training batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import PictureArrays
from cloud.training.defect_synthesis import add_defects, cuttings
from shared.splitnet.augmentation import Augmentation, augment
from shared.splitnet.objective import TrainingBatch


class Batches:
    """Batches of one split; every random choice comes from one generator."""

    def __init__(
        self,
        dataset: Dataset,
        pictures: PictureArrays,
        how: Augmentation,
        size: int,
        generator: torch.Generator,
    ) -> None:
        self._targets = dataset.targets
        self._kinds = kinds_of(dataset)
        self._pictures = pictures
        self._how = how
        self._size = min(size, len(self._targets))
        self._generator = generator
        self._cuttings = cuttings(pictures, self._kinds) if how.synthetic else []

    def __len__(self) -> int:
        return len(self._targets) // self._size

    def __iter__(self) -> Iterator[TrainingBatch]:
        """One epoch; what is left over when batches are full waits for the next shuffle."""
        order = torch.randperm(len(self._targets), generator=self._generator).numpy()
        for start in range(0, len(self) * self._size, self._size):
            yield self._batch(np.sort(order[start : start + self._size]))

    def _batch(self, index: NDArray[np.intp]) -> TrainingBatch:
        picture = self._pictures.inputs[index].astype(np.float32)
        mask, masked = self._pictures.masks[index], self._pictures.masked[index]
        target, kind = self._targets[index], self._kinds[index]
        draws = torch.rand(len(index), generator=self._generator).numpy()
        chosen = masked & (target == 0) & (draws < self._how.synthetic)
        if chosen.any():
            seed = int(torch.randint(0, 2**31, (1,), generator=self._generator))
            rng = np.random.default_rng(seed)
            laid = add_defects(picture, mask, chosen, self._cuttings, rng)
            target, kind = np.where(chosen, np.float32(1), target), np.where(chosen, laid, kind)
        moved, moved_mask = augment(
            torch.from_numpy(picture), torch.from_numpy(mask), self._how, self._generator
        )
        return TrainingBatch(
            moved.contiguous(memory_format=torch.channels_last),
            torch.from_numpy(target),
            moved_mask,
            torch.from_numpy(masked),
            torch.from_numpy(kind),
        )


def kinds_of(dataset: Dataset) -> NDArray[np.int64]:
    """Each sample's place among the set's kinds of defects; -1 for good parts."""
    place = {kind: index for index, kind in enumerate(dataset.classes)}
    return np.array([place.get(sample.defect, -1) for sample in dataset.samples], np.int64)


def at_size(batch: TrainingBatch, size: tuple[int, int]) -> TrainingBatch:
    """The batch at the network's input size, where a teacher wanted a larger one."""
    if batch.picture.shape[2:] == size:
        return batch
    places = (size[0] // 8, size[1] // 8)
    mask = functional.interpolate(batch.mask.unsqueeze(1), places, mode="area").squeeze(1)
    picture = resized(batch.picture, size).contiguous(memory_format=torch.channels_last)
    return TrainingBatch(picture, batch.target, mask, batch.masked, batch.kind)


def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (n, c, h, w) at another height and width."""
    if picture.shape[2:] == size:
        return picture
    return functional.interpolate(picture, size, mode="area")
