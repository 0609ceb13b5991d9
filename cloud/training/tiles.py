"""Pictures that a network sees in tiles, as what it learns from: each tile with its own label."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import GOOD, Dataset, Sample
from cloud.datasets.pictures import eight_bits_of, misfit
from shared.console import track
from shared.errors import DataError
from shared.features.depth import WrongPixels
from shared.features.pixel_settings import PixelSettings, TileSettings
from shared.features.straightening import seen_size, straightened
from shared.features.tiling import Tile, tiles_of

GOOD_TILES = 16
"""Of each picture that are learned from, evenly drawn: all of them would be of one kind nearly."""
LEAST_MARKED = 16
"""Pixels: a tile with fewer shows the brim of a defect that its neighbour shows whole. It is
neither good nor defective."""


def tiled(dataset: Dataset, settings: PixelSettings) -> Dataset:
    """The set with a sample for each tile that is learned from; itself where nothing is tiled.

    A tile is defective where its mask is marked there. Of a picture's good tiles at most GOOD_TILES
    are taken, by a hash of its pixels, so that adding pictures changes none.
    Raises DataError where a defective picture has no mask, and for a picture that can't be read or
    cut into such tiles.
    """
    if settings.tiles is None:
        return dataset
    unmarked = [s for s in dataset.samples if s.defective and s.mask is None and _whole(s)]
    if unmarked:
        raise DataError(
            f"{len(unmarked)} defective pictures of {dataset.name} have no mask, the first is "
            f"{unmarked[0].image}; which of its tiles are defective nobody says",
            fix="mark the defects, or learn from good parts alone with --good-only",
        )
    watched = track(dataset.samples, "cutting tiles")
    samples = [tile for sample in watched for tile in _tiles(sample, settings, settings.tiles)]
    return replace(dataset, samples=tuple(samples))


def _whole(sample: Sample) -> bool:
    """Whether it is yet to be cut: what training painted is not."""
    return not sample.prepared and sample.tile is None


def _tiles(sample: Sample, settings: PixelSettings, how: TileSettings) -> Iterator[Sample]:
    if not _whole(sample):
        yield sample
        return
    pixels = eight_bits_of(sample.image, settings)
    height, width = pixels.shape[:2]
    try:
        tiles = tiles_of(*seen_size(height, width, settings), how)
    except WrongPixels as error:
        raise misfit(sample.image, error) from error
    marked = _marked(sample, tiles, (height, width), settings)
    for at in np.flatnonzero(marked >= LEAST_MARKED):
        yield replace(sample, tile=tiles[at])
    clean = np.flatnonzero(marked == 0)
    drawn = np.random.default_rng(zlib.crc32(pixels.tobytes())).permutation(clean)[:GOOD_TILES]
    for at in np.sort(drawn):
        yield replace(sample, tile=tiles[at], defect=GOOD, target=0.0)


def _marked(
    sample: Sample, tiles: tuple[Tile, ...], size: tuple[int, int], settings: PixelSettings
) -> NDArray[np.int64]:
    """Marked pixels of each tile; none of a good part."""
    if sample.mask is None or not sample.defective:
        return np.zeros(len(tiles), np.int64)
    mask = straightened(sample.mask.pixels(*size), settings)
    return np.array([np.count_nonzero(tile.of(mask)) for tile in tiles], np.int64)
