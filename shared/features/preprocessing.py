"""The one way from a camera's picture to the network's input; training uses it too."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from shared.features.straightening import straightened

MAP_STRIDE = 8


def prepare(
    pixels: NDArray[np.uint8],
    height: int,
    width: int,
    channels: int,
    settings: PixelSettings = AS_IT_IS,
) -> NDArray[np.uint8]:
    """Resize and convert one picture; an axis that shrinks is averaged.

    pixels    uint8, (h, w) grey or (h, w, 3) BGR
    channels  1 (grey) or 3 (BGR)
    settings  by which it is blackened, cut out and turned before; its depth is 8 bits by now, and
              it is not cut into tiles here
    Returns uint8 (channels, height, width), C-contiguous. Normalisation is in the graph.
    """
    return as_input(seen_pixels(pixels, channels, settings), height, width)


def seen_pixels(
    pixels: NDArray[np.uint8], channels: int, settings: PixelSettings
) -> NDArray[np.uint8]:
    """What of a picture the network sees, in the picture's own size: uint8 (h, w) or (h, w, 3)."""
    pixels = straightened(pixels, settings)
    if pixels.ndim == 3 and channels == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
    if pixels.ndim == 2 and channels == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    return pixels


def as_input(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Such pixels, or a tile of them, as the network's input: uint8 (channels, height, width)."""
    pixels = np.asarray(_resized(pixels, height, width, cv2.INTER_LINEAR), np.uint8)
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels[np.newaxis])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def coarse_mask(
    defective: NDArray[np.bool_], height: int, width: int, settings: PixelSettings = AS_IT_IS
) -> NDArray[np.float32]:
    """A mask as the network's map sees it: the share of defective pixels a place.

    defective   bool, (h, w) of the picture that it belongs to
    Returns float32 (height/8, width/8), 0–1; a place that a thin crack crosses counts whole.
    """
    return as_map(straightened(defective, settings), height, width)


def as_map(seen: NDArray[np.bool_], height: int, width: int) -> NDArray[np.float32]:
    """The same of a mask that is straightened, or of a tile of it."""
    full = _resized(seen.astype(np.float32), height, width, cv2.INTER_AREA)
    places = full.reshape(height // MAP_STRIDE, MAP_STRIDE, width // MAP_STRIDE, MAP_STRIDE)
    share = places.mean(axis=(1, 3))
    return np.asarray(np.minimum(share * 4.0, 1.0), np.float32)


def _resized(pixels: NDArray[Any], height: int, width: int, enlarging: int) -> NDArray[Any]:
    """Each axis that shrinks is averaged, whatever the other does: OpenCV averages both or none,
    and what lies between the points that it takes would be seen by nobody."""
    tall, wide = pixels.shape[:2]
    if (tall, wide) == (height, width):
        return pixels
    if (height < tall and width > wide) or (height > tall and width < wide):
        least = min(tall, height), min(wide, width)
        pixels = cv2.resize(pixels, least[::-1], interpolation=cv2.INTER_AREA)
        tall, wide = least
    how = cv2.INTER_AREA if height <= tall and width <= wide else enlarging
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how))
