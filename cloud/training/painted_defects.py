"""A training set made of good parts: as they are, and with painted defects."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset, Sample, Split
from cloud.datasets.masks import MaskFiles
from cloud.datasets.pictures import load_pictures
from cloud.training.defect_painter import Painter
from cloud.training.options import Options
from shared.console import track
from shared.errors import DataError, TrainingError
from shared.storage.files import replacing

PAINTED = "painted"
FEWEST_PARTS: dict[Split, int] = {"train": 10, "calibrate": 5}
PAINTED_PICTURES = 900
FEWEST_COPIES, MOST_COPIES = 2, 8
PAINTS = 1
"""Counts up when the same part would be painted otherwise."""


def good_parts(dataset: Dataset) -> Dataset:
    """The surely good samples to train on and to calibrate with; the test split is left out.

    Raises DataError where the set has no such split, TrainingError where it has too few good
    parts in one, or only copies of few pictures.
    """
    kept: list[Sample] = []
    for split, fewest in FEWEST_PARTS.items():
        samples = [sample for sample in dataset.of(split).samples if sample.target == 0]
        parts = {sample.part for sample in samples}
        if len(parts) < fewest:
            raise TrainingError(
                f"{dataset.name} has {len(parts)} good parts in the split {split!r}, at least "
                f"{fewest} are wanted",
                fix=f"add pictures of {fewest - len(parts)} more good parts",
            )
        different = {hashlib.sha256(sample.image.read_bytes()).digest() for sample in samples}
        if len(different) < fewest:
            raise TrainingError(
                f"the {len(samples)} good pictures of {dataset.name} in the split {split!r} are "
                f"copies of {len(different)}",
                fix="give a picture of its own for each part",
            )
        kept += samples
    return replace(dataset, samples=tuple(kept))


def paint_set(goods: Dataset, options: Options, run: Path) -> Dataset:
    """Good parts beside copies of them with painted defects, whose masks are known.

    goods   as `good_parts` gives them
    The copies are kept in `run`, and taken from there where they already are. Training parts get
    several each, calibration parts one. Raises DataError where they can't be written.
    """
    folder = run / PAINTED / _key(goods, options)
    painted = _wanted(goods, folder)
    if not folder.is_dir():
        with replacing(folder) as partial:
            partial.mkdir(parents=True)
            for split in FEWEST_PARTS:
                _paint_split(goods.of(split), options, run, partial, split)
    return replace(goods, samples=(*goods.samples, *painted))


def _key(goods: Dataset, options: Options) -> str:
    a = options.architecture
    size = f"{a.height}x{a.width}x{a.channels}|{options.pixels.model_dump_json()}"
    what = f"{goods.content_hash()}|{size}|{options.seed}|{PAINTS}"
    return hashlib.sha256(what.encode()).hexdigest()[:16]


def _wanted(goods: Dataset, folder: Path) -> Iterator[Sample]:
    for split in FEWEST_PARTS:
        for index, copy, sample in _copies(goods.of(split), split):
            image, mask = _names(folder, split, index, copy)
            made = replace(sample, image=image, mask=MaskFiles((mask,)), defect=PAINTED, target=1.0)
            yield replace(made, prepared=True, tile=None)


def _copies(goods: Dataset, split: Split) -> Iterator[tuple[int, int, Sample]]:
    count = len(goods.samples)
    copies = min(max(FEWEST_COPIES, math.ceil(PAINTED_PICTURES / count)), MOST_COPIES)
    for index, sample in enumerate(goods.samples):
        for copy in range(copies if split == "train" else 1):
            yield index, copy, sample


def _names(folder: Path, split: Split, index: int, copy: int) -> tuple[Path, Path]:
    stem = f"{split}-{index:06}-{copy}"
    return folder / f"{stem}.png", folder / f"{stem}-mask.png"


def _paint_split(goods: Dataset, options: Options, run: Path, folder: Path, split: Split) -> None:
    a = options.architecture
    size = (a.channels, a.height, a.width)
    pictures = load_pictures(goods, size, run / "cache", options.pixels).inputs
    painter = Painter(pictures, options.seed + (split != "train"))
    wanted = list(_copies(goods, split))
    for index, copy, _ in track(wanted, f"painting defects on {split} parts"):
        painted = painter.paint(np.array(pictures[index]))
        image, mask = _names(folder, split, index, copy)
        pixels = painted.picture
        _write(image, pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
        _write(mask, painted.mask.astype(np.uint8) * 255)


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), np.ascontiguousarray(pixels)):
        raise DataError(f"{path} can't be written", fix="look at the disk's space and permissions")
