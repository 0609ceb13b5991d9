"""A data set as training, calibration and evaluation see it: pictures with labels, by part."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from cloud.datasets.masks import Mask
from shared.errors import DataError, SettingsError
from shared.features.tiling import Tile

Split = Literal["train", "calibrate", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
GOOD = "good"


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture.

    image   an absolute path
    mask    which pixels are defective; None where the set does not say
    defect  the kind of defect; `good` for none
    target  how surely it is defective, 0–1: an expert's probability, or simply 0 or 1
    part    the physical part; samples of one part never lie in two splits
    domain  the lighting, line or plant that it comes from
    prepared   whether the picture is as the head takes it: training painted it
    tile       of which tile of the picture it is; None: of the whole
    lot, line  what the part was made with, and on which conveyor; empty where the set does not say
    """

    image: Path
    mask: Mask | None
    defect: str
    target: float
    part: str
    domain: str
    split: Split
    prepared: bool = False
    tile: Tile | None = None
    lot: str = ""
    line: str = ""

    @property
    def defective(self) -> bool:
        return self.target > 0.5


@dataclass(frozen=True)
class Dataset:
    """Samples and where they come from.

    merged   near-identical pictures that were put into one part since the set names none
    version  the recorded version that it is; empty: none was recorded
    """

    name: str
    licence: str
    samples: tuple[Sample, ...]
    merged: int = 0
    notes: tuple[str, ...] = field(default=())
    version: str = ""

    def of(self, split: Split) -> Dataset:
        """Only the samples of one split. Raises DataError where there are none."""
        chosen = tuple(sample for sample in self.samples if sample.split == split)
        if not chosen:
            raise DataError(
                f"{self.name} has no samples in the split {split!r}",
                fix=f"its splits are {', '.join(sorted({s.split for s in self.samples}))}",
            )
        return replace(self, samples=chosen)

    @property
    def targets(self) -> np.ndarray:
        return np.array([sample.target for sample in self.samples], np.float32)

    @property
    def labels(self) -> np.ndarray:
        return np.array([sample.defective for sample in self.samples], bool)

    @property
    def parts(self) -> list[str]:
        return [sample.part for sample in self.samples]

    @property
    def has_masks(self) -> bool:
        return any(sample.mask is not None for sample in self.samples)

    @property
    def classes(self) -> list[str]:
        return sorted({sample.defect for sample in self.samples} - {GOOD})

    def content_hash(self) -> str:
        """sha256 over every picture's bytes, label, mask, part and split, in the order of paths, as
        they are when it is first asked: what a training says of its data is of one moment."""
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        digest, files = hashlib.sha256(), dict[Path, bytes]()
        for sample in sorted(self.samples, key=lambda s: (str(s.image), s.tile or ())):
            if sample.image not in files:
                # Tiles of one picture follow each other.
                files = {sample.image: hashlib.sha256(sample.image.read_bytes()).digest()}
            digest.update(files[sample.image])
            digest.update(f"{sample.defect}|{sample.target}|{sample.part}|{sample.split}".encode())
            if sample.tile is not None:
                digest.update(repr(tuple(sample.tile)).encode())
            if sample.mask is not None:
                digest.update(sample.mask.digest().encode())
        return digest.hexdigest()

    def summary(self) -> dict[str, object]:
        """Counts for a report: pictures and parts by split and by defect."""
        return {
            "name": self.name,
            "version": self.version,
            "images": len(self.samples),
            "parts": len(set(self.parts)),
            "near_identical_merged": self.merged,
            "splits": dict(Counter(sample.split for sample in self.samples)),
            "defects": dict(Counter(sample.defect for sample in self.samples)),
            "notes": list(self.notes),
        }


def split_named(name: str) -> Split:
    """Raises SettingsError where no split is called so."""
    chosen = next((known for known in SPLITS if known == name), None)
    if chosen is None:
        raise SettingsError(f"there is no split {name!r}", fix=f"use one of {', '.join(SPLITS)}")
    return chosen


def check(dataset: Dataset) -> Dataset:
    """The set itself, once it is sure that training can use it.

    Raises DataError for no samples, a missing picture, or a part on two sides of a split.
    """
    if not dataset.samples:
        raise DataError(f"{dataset.name} has no pictures", fix="check the path and the file types")
    missing = [sample.image for sample in dataset.samples if not sample.image.is_file()]
    masks = (s.mask for s in dataset.samples if s.mask is not None)
    missing += [file for mask in masks for file in mask.files if not file.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} files named by {dataset.name} are not there, the first is "
            f"{missing[0]}",
            fix="correct the paths, or remove their rows",
        )
    straddling = parts_in_two_splits(dataset.samples)
    if straddling:
        raise DataError(
            f"{len(straddling)} parts of {dataset.name} lie in two splits, the first is "
            f"{straddling[0]}",
            fix="keep every picture of a part in one split",
        )
    return dataset


def parts_in_two_splits(samples: Sequence[Sample]) -> list[str]:
    """Parts that would leak from training into a test."""
    home: dict[str, Split] = {}
    found = [s.part for s in samples if home.setdefault(s.part, s.split) != s.split]
    return sorted(set(found))
