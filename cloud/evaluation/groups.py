"""How defects of each kind and size fare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset, Sample

LARGE = 0.01

Size = Literal["any", "larger", "smaller"]
Masks = Mapping[int, NDArray[np.bool_]]


class Caught(msgspec.Struct, frozen=True):
    """How many pictures pass, and the share that does not."""

    escapes: int
    recall: float


class Group(msgspec.Struct, frozen=True):
    """Defective pictures of one kind and size, and how they fare.

    kind    None for all kinds together
    size    larger: the mask covers more than 1 % of the picture
    edge    at the gate, where an escalated picture has not passed; cloud and system alike
    system_at_overkill   with the threshold of `System.at_overkill`
    """

    kind: str | None
    size: Size
    pictures: int
    parts: int
    edge: Caught
    cloud: Caught
    system: Caught
    system_at_overkill: Caught | None


@dataclass(frozen=True, slots=True)
class PassMasks:
    """Which pictures pass, bool (n,); as in `Group`."""

    edge: NDArray[np.bool_]
    cloud: NDArray[np.bool_]
    system: NDArray[np.bool_]
    system_at_overkill: NDArray[np.bool_] | None


def groups(dataset: Dataset, masks: Masks, passed: PassMasks) -> list[Group]:
    """All kinds together first, then each; each whole, then by size where masks tell it.

    masks   by sample's index, bool (h, w)
    """
    kinds = (None, *(dataset.classes if len(dataset.classes) > 1 else ()))
    sizes: tuple[Size, ...] = ("any", "larger", "smaller")
    wanted = [(kind, size) for kind in kinds for size in sizes]
    sized = [_size(sample, masks.get(index)) for index, sample in enumerate(dataset.samples)]
    found = [(kind, size, _members(dataset.samples, sized, kind, size)) for kind, size in wanted]
    return [
        _group(kind, size, chosen, dataset, passed) for kind, size, chosen in found if chosen.any()
    ]


def _size(sample: Sample, mask: NDArray[np.bool_] | None) -> Size:
    if sample.mask is None or mask is None:
        return "any"
    return "larger" if mask.mean() > LARGE else "smaller"


def _members(
    samples: Sequence[Sample], sized: Sequence[Size], kind: str | None, size: Size
) -> NDArray[np.bool_]:
    return np.array(
        [
            sample.defective and kind in {None, sample.defect} and size in {"any", its}
            for sample, its in zip(samples, sized, strict=True)
        ]
    )


def _group(
    kind: str | None, size: Size, chosen: NDArray[np.bool_], dataset: Dataset, passed: PassMasks
) -> Group:
    def caught(passes: NDArray[np.bool_]) -> Caught:
        escapes = int(passes[chosen].sum())
        return Caught(escapes, 1 - escapes / int(chosen.sum()))

    moved = passed.system_at_overkill
    return Group(
        kind=kind,
        size=size,
        pictures=int(chosen.sum()),
        parts=len(np.unique(np.array(dataset.parts)[chosen])),
        edge=caught(passed.edge),
        cloud=caught(passed.cloud),
        system=caught(passed.system),
        system_at_overkill=None if moved is None else caught(moved),
    )
