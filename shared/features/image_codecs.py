"""Pictures ↔ the compressed files that they would be, had they been sent instead of features."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Compression = Literal["jpeg", "webp"]
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)
JPEG_QUALITY = 80

_SUFFIX: dict[Compression, str] = {"jpeg": ".jpg", "webp": ".webp"}


def compress(
    pixels: NDArray[np.uint8], quality: int = JPEG_QUALITY, kind: Compression = "jpeg"
) -> bytes:
    """A whole file of one picture, uint8 (h, w) grey or (h, w, 3) BGR.

    quality   1–100. JPEG's Huffman tables are fitted to the picture, so that it is as small as
              its quality allows: a comparison with it should not be won by neglect.
    """
    options = [cv2.IMWRITE_WEBP_QUALITY, quality]
    if kind == "jpeg":
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(_SUFFIX[kind], pixels, options)[1].tobytes()


def decompress(raw: bytes, channels: int) -> NDArray[np.uint8]:
    """The pixels again, as (h, w) where `channels` is 1, else (h, w, 3) BGR."""
    mode = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    return np.asarray(cv2.imdecode(np.frombuffer(raw, np.uint8), mode), np.uint8)


def to_pixels(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A network's input (1 or 3, h, w) as a picture: (h, w) grey or (h, w, 3) BGR."""
    if planes.shape[0] == 1:
        return np.asarray(planes[0], np.uint8)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def to_planes(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as a network's input again, C-contiguous: the opposite of `to_pixels`."""
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels[np.newaxis])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
