"""A bundle's head, asked of whole pictures: cut into tiles where its bundle says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.bundles.bundle import Bundle
from shared.contracts import TileShares
from shared.features.codec import FeatureCodec
from shared.features.novelty import summary
from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from shared.features.preprocessing import as_input, seen_pixels
from shared.features.straightening import onto_picture
from shared.features.tiling import laid_together, tiles_of
from shared.runtime.base import Runtime


@dataclass(frozen=True, slots=True)
class HeadFinding:
    """What a head makes of one picture. Of tiles, the most suspicious speaks for the picture.

    score       0–1, or not a number; the highest of the tiles', and one that is no number is higher
    symbols     of what speaks, int8 (channels, height, width)
    picture     of what speaks, as the network takes it, uint8 (channels, height, width)
    defect_map  probabilities, float32 (height/8, width/8) of the network's input, or of all tiles
                laid together
    summaries   `novelty.summary` of each tile, float32 (tiles, 2 · channels)
    tile        which speaks, and its number; None and -1 where the picture was judged whole
    """

    score: float
    symbols: NDArray[np.int8]
    picture: NDArray[np.uint8]
    defect_map: NDArray[np.float32]
    summaries: NDArray[np.float32]
    tile: TileShares | None = None
    spoke: int = -1


@dataclass(frozen=True, slots=True)
class _Glance:
    """What it makes of one input."""

    score: float
    symbols: NDArray[np.int8]
    picture: NDArray[np.uint8]
    defect_map: NDArray[np.float32]

    @property
    def suspicion(self) -> float:
        """What is no number may be anything."""
        return self.score if math.isfinite(self.score) else math.inf


class PictureHead:
    """A head on one backend. Not safe to share between threads."""

    def __init__(
        self,
        runtime: Runtime,
        codec: FeatureCodec,
        input_shape: tuple[int, int, int],
        pixels: PixelSettings = AS_IT_IS,
    ) -> None:
        """input_shape: channels, height, width of the head's input
        pixels: what is done to a picture's pixels, whose depth is 8 bits by now
        """
        self._runtime = runtime
        self._codec = codec
        self._channels, self._height, self._width = input_shape
        self._pixels = pixels

    @classmethod
    def of(cls, bundle: Bundle, runtime: Runtime) -> Self:
        """Of a bundle whose head this backend has loaded."""
        spec = bundle.manifest.input
        return cls(runtime, bundle.codec, spec.shape, spec.pixels)

    def look(self, pixels: NDArray[np.uint8]) -> HeadFinding:
        """One picture, uint8 (h, w) grey or (h, w, 3) BGR.

        Raises WrongPixels for one that can't be cut into the bundle's tiles, and what the backend
        raises.
        """
        seen = seen_pixels(pixels, self._channels, self._pixels)
        how = self._pixels.tiles
        if how is None:
            one = self._glance(seen)
            found = summary(one.symbols[np.newaxis])
            return HeadFinding(one.score, one.symbols, one.picture, one.defect_map, found)
        height, width = seen.shape[:2]
        tiles = tiles_of(height, width, how)
        most, spoke = self._glance(tiles[0].of(seen)), 0
        maps, summaries = [most.defect_map], [summary(most.symbols[np.newaxis])]
        for number, tile in enumerate(tiles[1:], start=1):
            one = self._glance(tile.of(seen))
            maps.append(one.defect_map)
            summaries.append(summary(one.symbols[np.newaxis]))
            if one.suspicion > most.suspicion:
                most, spoke = one, number
        return HeadFinding(
            most.score,
            most.symbols,
            most.picture,
            laid_together(maps, tiles, height, width),
            np.concatenate(summaries),
            tiles[spoke].shares(height, width),
            spoke,
        )

    def map_of(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Its defect map alone, laid over the whole picture. Raises as `look`."""
        return onto_picture(self.look(pixels).defect_map, self._pixels)

    def _glance(self, pixels: NDArray[np.uint8]) -> _Glance:
        picture = as_input(pixels, self._height, self._width)
        features, defect_map, score = self._runtime.run(picture[np.newaxis])
        number = float(score.reshape(-1)[0])
        bottleneck = np.asarray(features[0], np.float32)
        if not math.isfinite(number):
            # What is not a number has no symbol.
            bottleneck = np.nan_to_num(bottleneck)
        found = np.asarray(defect_map[0, 0], np.float32)
        return _Glance(number, self._codec.quantise(bottleneck), picture, found)


def input_tiles(
    pixels: NDArray[np.uint8], input_shape: tuple[int, int, int], settings: PixelSettings
) -> NDArray[np.uint8]:
    """A picture as the network takes it, uint8 (n, channels, height, width): once, or as each of
    its tiles.

    Raises WrongPixels as `tiles_of`.
    """
    channels, height, width = input_shape
    seen = seen_pixels(pixels, channels, settings)
    if settings.tiles is None:
        return as_input(seen, height, width)[np.newaxis]
    tall, wide = seen.shape[:2]
    tiles = tiles_of(tall, wide, settings.tiles)
    return np.stack([as_input(tile.of(seen), height, width) for tile in tiles])
