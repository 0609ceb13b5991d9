"""What a picture of a mask says of each pixel, in whatever way its tool has saved it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.features.picture_file import loaded
from shared.opener import Unopenable, require_picture

_PNG, _PALETTE_AT, _PALETTE = b"\x89PNG\r\n\x1a\n", 25, 3
_JPEG = b"\xff\xd8"
_MIDDLE = 127
_COLOURS_AND_ALPHA = 4


def mask_pixels(path: Path) -> NDArray[Any]:
    """Values of (height, width) or (height, width, 3), zero for the background.

    Of a palette its indices, whatever their colours; of a picture with transparency the colours,
    or the transparency where they are all one; of a JPEG what is more white than black, since it
    has a seam of greys. Raises Unopenable where it can't be read.
    """
    try:
        with path.open("rb") as stream:
            begin = stream.read(_PALETTE_AT + 1)
    except OSError as error:
        raise Unopenable(error.strerror or str(error)) from error
    if begin.startswith(_PNG) and begin[_PALETTE_AT:] == bytes([_PALETTE]):
        return _indices(path)
    pixels = loaded(path, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 3 and pixels.shape[2] == _COLOURS_AND_ALPHA:
        colours, alpha = pixels[:, :, :3], pixels[:, :, 3]
        varied = (colours != colours[:1, :1]).any()
        return colours if varied or (alpha == alpha[0, 0]).all() else alpha
    if begin.startswith(_JPEG):
        return np.where(pixels > _MIDDLE, pixels, 0)
    return pixels


def _indices(path: Path) -> NDArray[Any]:
    """OpenCV gives the colours alone, and two indices can have one."""
    raw = path.read_bytes()
    require_picture(raw)
    try:
        with Image.open(io.BytesIO(raw)) as picture:
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise Unopenable(f"it is cut off or damaged: {error}") from error
