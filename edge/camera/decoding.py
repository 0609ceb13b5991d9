"""Compressed pictures → pixels."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import CameraError
from shared.features.picture_file import decoded
from shared.opener import Unopenable

Colour = Literal["as_is", "grey", "colour"]

_FLAGS: dict[Colour, int] = {
    "as_is": cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH,
    "grey": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
    "colour": cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
}


def decode_picture(encoded: bytes, colour: Colour, name: str) -> NDArray[Any]:
    """Pixels as deep as they are stored, (height, width) grey or (height, width, 3) BGR.

    Raises CameraError for bytes that are damaged, cut off or no picture.
    """
    if not encoded:
        raise CameraError(f"{name} is empty", fix=_REPLACE)
    try:
        return decoded(encoded, _FLAGS[colour])
    except Unopenable as error:
        raise CameraError(f"{name} can't be read ({error})", fix=_REPLACE) from error


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Pixels as in `contracts.Frame` → JPEG."""
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


_REPLACE = "replace or remove the file; the part gets the fail-safe verdict"
