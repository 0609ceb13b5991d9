"""A device's pictures as the layers that learn meet them: looked at once, kept for a round.

The frozen layers cost most of a step, and what they see does not change while the others learn.
So each picture is looked at in a few versions, as it is and changed at random, and kept in 16
bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.learner.trainable import Kept, Student
from edge.learning.labelled_parts import LabelledParts, LabelledPicture, Use
from shared.features.preprocessing import MAP_STRIDE, coarse_mask, prepare
from shared.splitnet.augmentation import Augmentation, augment
from shared.splitnet.objective import TrainingBatch

AT_ONCE = 16
MOST_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CachedFeatures:
    """Every version of n pictures, a version after the other.

    kept      float16 (versions · n, …), what the frozen layers saw
    mask      float16 (versions · n, h/8, w/8)
    masked    bool (n,)
    target    float32 (n,)
    """

    kept: Sequence[Tensor]
    mask: Tensor
    masked: Tensor
    target: Tensor
    labels: Sequence[LabelledPicture]

    def __len__(self) -> int:
        return len(self.labels)

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[tuple[Kept, TrainingBatch]]:
        """Every picture once, each in a version drawn at random. What is left over when batches
        are full waits for the next shuffle."""
        n = len(self)
        size = min(size, n)
        versions = len(self.mask) // n
        order = torch.randperm(n, generator=generator)
        drawn = torch.randint(versions, (n,), generator=generator)
        for start in range(0, n // size * size, size):
            place = order[start : start + size]
            yield self._batch(place, drawn[place] * n + place)

    def as_they_are(self, size: int = AT_ONCE) -> Iterator[Kept]:
        """The unchanged version, in order."""
        for start in range(0, len(self), size):
            yield [part[start : min(start + size, len(self))].float() for part in self.kept]

    def _batch(self, place: Tensor, row: Tensor) -> tuple[Kept, TrainingBatch]:
        kept = [_in_lanes(part[row].float()) for part in self.kept]
        nothing = torch.zeros(0)
        unknown = torch.full((len(place),), -1)
        return kept, TrainingBatch(
            nothing, self.target[place], self.mask[row].float(), self.masked[place], unknown
        )


def prepare_examples(
    parts: LabelledParts, use: Use, student: Student, versions: int, generator: torch.Generator
) -> CachedFeatures:
    """Look at every picture of one use. Raises SplitsightError for one that can't be read.

    versions   fewer are kept where they would fill a gigabyte
    """
    places = [place for place, label in enumerate(parts.index()) if label.use == use]
    labels = [parts.index()[place] for place in places]
    size = student.size
    pictures = np.zeros((len(places), size.channels, size.height, size.width), np.uint8)
    masks = np.zeros((len(places), size.height // MAP_STRIDE, size.width // MAP_STRIDE), np.float32)
    masked = np.zeros(len(places), bool)
    for row, place in enumerate(places):
        pictures[row] = prepare(parts.picture(place), size.height, size.width, size.channels)
        mask = parts.mask(place)
        masked[row] = mask is not None
        if mask is not None:
            masks[row] = coarse_mask(mask, size.height, size.width)
    seen: list[list[Tensor]] = []
    moved_masks: list[Tensor] = []
    for version in range(versions):
        if version and _bytes_of(seen) * (version + 1) > MOST_BYTES * version:
            break
        kept, moved = _look(student, pictures, masks, generator, changed=version > 0)
        seen.append(kept)
        moved_masks.append(moved)
    return CachedFeatures(
        [torch.cat(layer) for layer in zip(*seen, strict=True)],
        torch.cat(moved_masks),
        torch.from_numpy(masked),
        torch.tensor([float(label.defective) for label in labels]),
        labels,
    )


def _look(
    student: Student,
    pictures: NDArray[np.uint8],
    masks: NDArray[np.float32],
    generator: torch.Generator,
    *,
    changed: bool,
) -> tuple[list[Tensor], Tensor]:
    kept: list[list[Tensor]] = []
    moved: list[Tensor] = []
    for start in range(0, max(1, len(pictures)), AT_ONCE):
        picture = torch.from_numpy(pictures[start : start + AT_ONCE]).float()
        mask = torch.from_numpy(masks[start : start + AT_ONCE])
        if changed:
            picture, mask = augment(picture, mask, Augmentation(), generator)
        kept.append([layer.half() for layer in student.look(_in_lanes(picture))])
        moved.append(mask.half())
    return [torch.cat(layer) for layer in zip(*kept, strict=True)], torch.cat(moved)


def _in_lanes(values: Tensor) -> Tensor:
    """In the order of memory that convolutions run fastest on."""
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values


def _bytes_of(seen: Sequence[Sequence[Tensor]]) -> int:
    return sum(layer.numel() * layer.element_size() for kept in seen for layer in kept)
