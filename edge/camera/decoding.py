"""Compressed pictures → pixels."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import CameraError
from shared.features.picture_file import decoded
from shared.opener import Unopenable

Colour = Literal["as_is", "grey", "colour"]

_FLAGS: dict[Colour, int] = {
    "as_is": cv2.IMREAD_ANYCOLOR,
    "grey": cv2.IMREAD_GRAYSCALE,
    "colour": cv2.IMREAD_COLOR,
}
_END_SEARCH = 1024


def decode_picture(encoded: bytes, colour: Colour, name: str) -> NDArray[np.uint8]:
    """Pixels, uint8 (height, width) grey or (height, width, 3) BGR.

    Raises CameraError for bytes that are cut off or are no picture.
    """
    if not encoded:
        raise CameraError(f"{name} is empty", fix=_REPLACE)
    if _is_cut_off(encoded):
        # OpenCV would fill the rest with grey, and grey looks like a good part.
        raise CameraError(f"{name} is cut off after {len(encoded)} B", fix=_REPLACE)
    try:
        return decoded(encoded, _FLAGS[colour])
    except Unopenable as error:
        raise CameraError(f"{name} can't be read ({error})", fix=_REPLACE) from error


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Pixels as in `contracts.Frame` → JPEG."""
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def _is_cut_off(encoded: bytes) -> bool:
    end = encoded[-_END_SEARCH:]
    if encoded.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in end
    if encoded.startswith(b"\x89PNG"):
        return b"IEND" not in end
    return False


_REPLACE = "replace or remove the file; the part gets the fail-safe verdict"
