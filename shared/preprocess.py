"""The one way from a camera's picture to the network's input; training uses it too."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def prepare(pixels: NDArray[np.uint8], height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Resize and convert one picture.

    pixels    uint8, (h, w) grey or (h, w, 3) BGR
    channels  1 (grey) or 3 (BGR)
    Returns uint8 (channels, height, width), C-contiguous. Normalisation is in the graph.
    """
    if pixels.ndim == 3 and channels == 1:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
    elif pixels.ndim == 2 and channels == 3:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    if pixels.shape[:2] != (height, width):
        shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)
    if channels == 1:
        return np.ascontiguousarray(pixels[np.newaxis])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
