"""Compressed pictures → pixels through OpenCV, which returns nothing for some damage and raises for
other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.opener import Unopenable, require_picture


def decoded(encoded: bytes, mode: int) -> NDArray[np.uint8]:
    """Pixels, uint8 (height, width) or (height, width, 3) BGR.

    mode   cv2.IMREAD_…
    Raises Unopenable for what claims too many pixels, or is no picture.
    """
    require_picture(encoded)
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), mode) if encoded else None
    except cv2.error as error:
        raise Unopenable(f"OpenCV refuses it: {error.err}") from error
    if pixels is None:
        raise Unopenable("it is not a picture that OpenCV reads")
    return np.asarray(pixels, np.uint8)


def loaded(path: Path, mode: int) -> NDArray[np.uint8]:
    """The pixels of a file, as `decoded`. Raises Unopenable where it can't be read, too."""
    try:
        return decoded(path.read_bytes(), mode)
    except OSError as error:
        raise Unopenable(error.strerror or str(error)) from error
