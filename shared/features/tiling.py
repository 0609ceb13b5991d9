"""A large picture as overlapping tiles: where they lie, and what was found of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.contracts import TileShares
from shared.features.depth import WrongPixels
from shared.features.pixel_settings import PixelSettings, TileSettings
from shared.features.straightening import onto_picture, seen_size

S = TypeVar("S", bound=np.generic)
LONGEST = 512
"""Places of a side that a tile's map is laid over: what a person is shown of it is no larger."""


class UnfitTiles(WrongPixels):
    """A picture that can't be cut into the tiles that the settings say."""


class Tile(NamedTuple):
    """Pixels of the picture, once it is cut out and turned."""

    left: int
    top: int
    width: int
    height: int

    def of(self, pixels: NDArray[S]) -> NDArray[S]:
        """Its pixels, not copied; of (h, w) or (h, w, 3)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]

    def shares(self, height: int, width: int) -> TileShares:
        """Of a picture of this size."""
        right, bottom = self.left + self.width, self.top + self.height
        return self.left / width, self.top / height, right / width, bottom / height


def tiles_of(height: int, width: int, how: TileSettings) -> tuple[Tile, ...]:
    """The tiles of a picture of this size, row by row.

    Raises UnfitTiles for a picture that is smaller than a tile, or would need too many.
    """
    if height < how.height or width < how.width:
        raise UnfitTiles(
            f"a picture of {width} × {height}, smaller than its tiles of {how.width} × {how.height}"
        )
    tops = _starts(height, how.height, how.overlap)
    lefts = _starts(width, how.width, how.overlap)
    if len(tops) * len(lefts) > how.most:
        raise UnfitTiles(
            f"a picture of {width} × {height}, which is {len(tops) * len(lefts)} tiles; at most "
            f"{how.most} are judged"
        )
    return tuple(Tile(left, top, how.width, how.height) for top in tops for left in lefts)


def require_tiles(height: int, width: int, settings: PixelSettings) -> None:
    """Raises UnfitTiles where a picture of this size, as it is stored, can't be cut into tiles."""
    if settings.tiles is not None:
        tiles_of(*seen_size(height, width, settings), settings.tiles)


def laid_together(
    maps: Sequence[NDArray[np.float32]], tiles: Sequence[Tile], height: int, width: int
) -> NDArray[np.float32]:
    """One map of a whole picture of `height` × `width`; where tiles overlap, the most suspicious.

    maps   probabilities, float32 (h, w), alike for each tile
    """
    tall, wide = maps[0].shape
    scale_y, scale_x = tall / tiles[0].height, wide / tiles[0].width
    whole = np.zeros((max(tall, round(height * scale_y)), max(wide, round(width * scale_x))))
    whole = whole.astype(np.float32)
    for found, tile in zip(maps, tiles, strict=True):
        top = min(round(tile.top * scale_y), whole.shape[0] - tall)
        left = min(round(tile.left * scale_x), whole.shape[1] - wide)
        below = whole[top : top + tall, left : left + wide]
        # What is not a number has to stay seen.
        np.maximum(below, np.nan_to_num(found, nan=1.0), out=below)
    return whole


def laid_over(found: NDArray[np.float32], shares: TileShares) -> NDArray[np.float32]:
    """A tile's map on the whole picture, nothing elsewhere; at most LONGEST places on a side."""
    left, top, right, bottom = shares
    tall, wide = found.shape
    height, width = tall / (bottom - top), wide / (right - left)
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    whole = np.zeros(size, np.float32)
    first = min(round(top * size[0]), size[0] - 1), min(round(left * size[1]), size[1] - 1)
    last = max(round(bottom * size[0]), first[0] + 1), max(round(right * size[1]), first[1] + 1)
    inside = whole[first[0] : last[0], first[1] : last[1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inside[:] = cv2.resize(found, inside.shape[::-1], interpolation=how)
    return whole


def onto_whole(
    found: NDArray[np.float32], settings: PixelSettings, tile: TileShares | None
) -> NDArray[np.float32]:
    """A map of the network's input as one of the whole picture; `tile`: of which it is, if any."""
    return onto_picture(found if tile is None else laid_over(found, tile), settings)


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Where tiles of this side begin, evenly, so that two neighbours share `overlap` at least."""
    steps = -(-(length - side) // (side - overlap))
    return [round(at * (length - side) / max(steps, 1)) for at in range(steps + 1)]
