"""Prepared pictures and masks of a data set, read once and kept in a file-backed array."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from shared.console import track
from shared.errors import DataError
from shared.features.picture_file import loaded
from shared.features.preprocessing import MAP_STRIDE, coarse_mask, prepare
from shared.opener import Unopenable
from shared.storage.files import replacing


@dataclass(frozen=True, slots=True)
class PictureArrays:
    """Arrays in the order of the data set's samples.

    inputs   uint8 (n, channels, height, width), as `prepare` gives them
    masks    float32 (n, height/8, width/8): share of each place that is defective, 0–1
    masked   bool (n,): the mask is known (a good part's is known to be empty)
    """

    inputs: NDArray[np.uint8]
    masks: NDArray[np.float32]
    masked: NDArray[np.bool_]


def load_pictures(
    dataset: Dataset, height: int, width: int, channels: int, cache: Path
) -> PictureArrays:
    """Prepare every picture of a data set, or take them from `cache` where they already are.

    Raises DataError for a picture that can't be decoded.
    """
    cache.mkdir(parents=True, exist_ok=True)
    names = "\n".join(_identity(s.image) for s in dataset.samples)
    key = hashlib.sha256(f"{names}|{height}x{width}x{channels}".encode()).hexdigest()[:16]
    path = cache / f"pictures-{key}.npy"
    shape = (len(dataset.samples), channels, height, width)
    if not path.is_file():
        with replacing(path) as partial:
            array = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
            for index, sample in enumerate(track(dataset.samples, "reading pictures")):
                array[index] = prepare(decode(sample.image, channels), height, width, channels)
            array.flush()
    masks = np.zeros((len(dataset.samples), height // MAP_STRIDE, width // MAP_STRIDE), np.float32)
    masked = np.zeros(len(dataset.samples), bool)
    for index, sample in enumerate(dataset.samples):
        if sample.mask is not None:
            tall, wide = decode(sample.image, 1).shape[:2]
            masks[index] = coarse_mask(sample.mask.pixels(tall, wide), height, width)
            masked[index] = True
        else:
            masked[index] = dataset.has_masks and not sample.defective
    return PictureArrays(np.load(path, mmap_mode="r"), masks, masked)


def _identity(path: Path) -> str:
    """Changes with the file, so that the cache never holds a picture of yesterday."""
    status = path.stat()
    return f"{path}:{status.st_mtime_ns}:{status.st_size}"


def decode(path: Path, channels: int) -> NDArray[np.uint8]:
    """A picture as grey or BGR. Raises DataError where it can't be read."""
    mode = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    try:
        return loaded(path, mode)
    except Unopenable as error:
        raise DataError(
            f"{path} is not a picture that can be read ({error})", fix="remove or replace it"
        ) from error
