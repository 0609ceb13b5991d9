"""Prepared pictures and masks of a data set, read once and kept in a file-backed array."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset, Sample
from cloud.datasets.masks import Mask
from shared.bundles.manifest import InputSpec
from shared.bundles.picture_head import input_tiles
from shared.console import track
from shared.errors import DataError
from shared.features.depth import WrongPixels, eight_bit
from shared.features.picture_file import AS_STORED, loaded
from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from shared.features.preprocessing import MAP_STRIDE, as_input, as_map, seen_pixels
from shared.features.straightening import straightened
from shared.features.tiling import UnfitTiles
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
    dataset: Dataset,
    size: tuple[int, int, int],
    cache: Path,
    settings: PixelSettings = AS_IT_IS,
) -> PictureArrays:
    """Prepare every picture of a data set, or take them from `cache` where they already are.

    size       of the network's input: channels, height, width
    settings   what is done to each before, but for what training made, which is prepared
    Raises DataError for a picture that can't be decoded, or is not as the settings say.
    """
    channels, height, width = size
    cache.mkdir(parents=True, exist_ok=True)
    names = "\n".join(_identity(s) for s in dataset.samples)
    what = f"{names}|{height}x{width}x{channels}|{settings.model_dump_json()}"
    key = hashlib.sha256(what.encode()).hexdigest()[:16]
    path = cache / f"pictures-{key}.npy"
    shape = (len(dataset.samples), channels, height, width)
    if not path.is_file():
        with replacing(path) as partial:
            array = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
            source = _Source(channels, settings)
            for index, sample in enumerate(track(dataset.samples, "reading pictures")):
                array[index] = as_input(source.pixels(sample), height, width)
            array.flush()
    masks = np.zeros((len(dataset.samples), height // MAP_STRIDE, width // MAP_STRIDE), np.float32)
    masked = np.zeros(len(dataset.samples), bool)
    source = _Source(channels, settings)
    for index, sample in enumerate(dataset.samples):
        if sample.mask is not None:
            masks[index] = as_map(source.mask(sample, sample.mask), height, width)
            masked[index] = True
        else:
            masked[index] = dataset.has_masks and not sample.defective
    return PictureArrays(np.load(path, mmap_mode="r"), masks, masked)


class _Source:
    """What is seen of samples' pictures and masks. Tiles of one picture follow each other, so the
    last picture is kept."""

    def __init__(self, channels: int, settings: PixelSettings) -> None:
        self._channels = channels
        self._settings = settings
        self._image: Path | None = None
        self._seen: NDArray[Any] = np.zeros((0, 0))

    def pixels(self, sample: Sample) -> NDArray[np.uint8]:
        """Of the picture, or of the sample's tile of it."""

        def read() -> NDArray[np.uint8]:
            done = self._done(sample)
            return seen_pixels(eight_bits_of(sample.image, done), self._channels, done)

        return np.asarray(self._cut(sample, read), np.uint8)

    def mask(self, sample: Sample, mask: Mask) -> NDArray[np.bool_]:
        def read() -> NDArray[np.bool_]:
            tall, wide = decode(sample.image, 1).shape[:2]
            return straightened(mask.pixels(tall, wide), self._done(sample))

        return np.asarray(self._cut(sample, read), np.bool_)

    def _done(self, sample: Sample) -> PixelSettings:
        return AS_IT_IS if sample.prepared else self._settings

    def _cut(self, sample: Sample, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        if sample.tile is None:
            return read()
        if self._image != sample.image:
            self._seen, self._image = read(), sample.image
        return sample.tile.of(self._seen)


def _identity(sample: Sample) -> str:
    """Changes with the file, so that the cache never holds a picture of yesterday."""
    status = sample.image.stat()
    tile = "" if sample.tile is None else f":{tuple(sample.tile)}"
    return f"{sample.image}:{status.st_mtime_ns}:{status.st_size}{tile}"


def stored(path: Path) -> NDArray[Any]:
    """A picture's pixels as deep as the file has them, (h, w) or (h, w, 3) BGR.

    Raises DataError where it can't be read.
    """
    try:
        return loaded(path, AS_STORED)
    except Unopenable as error:
        raise DataError(
            f"{path} is not a picture that can be read ({error})", fix="remove or replace it"
        ) from error


def eight_bits_of(path: Path, settings: PixelSettings) -> NDArray[np.uint8]:
    """A picture as the network is to see it, before it is cut out and resized.

    Returns uint8 (h, w) or (h, w, 3) BGR. Raises DataError where it can't be read, or is not as
    the settings say.
    """
    try:
        return eight_bit(stored(path), settings)
    except WrongPixels as error:
        raise misfit(path, error) from error


def misfit(path: Path, error: WrongPixels) -> DataError:
    """Of a picture that is not as the settings say."""
    if isinstance(error, UnfitTiles):
        fix = "choose other tiles, or leave this picture out"
    else:
        fix = "say --depth, or bring all pictures of the set into one form"
    return DataError(f"{path} is {error}", fix=fix)


def inputs_of_file(path: Path, spec: InputSpec) -> NDArray[np.uint8]:
    """A picture as a bundle's head takes it, uint8 (n, channels, height, width): once, or as each
    of its tiles.

    Raises DataError as `eight_bits_of`, and for a picture that can't be cut into such tiles.
    """
    pixels = eight_bits_of(path, spec.pixels)
    try:
        return input_tiles(pixels, spec.shape, spec.pixels)
    except WrongPixels as error:
        raise misfit(path, error) from error


def decode(path: Path, channels: int) -> NDArray[np.uint8]:
    """A picture for people and for comparisons, grey or BGR; what is deeper than 8 bits is
    stretched to its own brightest pixel.

    Raises DataError where it can't be read.
    """
    pixels = stored(path)
    if pixels.dtype != np.uint8:
        plain = np.nan_to_num(pixels.astype(np.float64))
        pixels = np.clip(plain / max(plain.max(), 1e-9) * 255, 0, 255).astype(np.uint8)
    if channels == 1 and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    elif channels == 3 and pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    return np.asarray(pixels, np.uint8)
