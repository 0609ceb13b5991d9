"""What an inspector drew over a picture, as a mask of the picture's own size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from shared.errors import DataError
from shared.features.picture_file import decoded, loaded
from shared.opener import Unopenable


def mask_over(picture: Path, drawing: bytes) -> bytes:
    """A PNG of the picture's size, 255 where the defect is. Drawings cover the whole picture and
    are smaller. Raises DataError where one of them can't be read."""
    try:
        height, width = loaded(picture, cv2.IMREAD_GRAYSCALE).shape[:2]
        drawn = decoded(drawing, cv2.IMREAD_GRAYSCALE) > 0
    except Unopenable as error:
        raise DataError(
            f"the drawing over {picture} can't be laid on it ({error})",
            fix="remove that picture and run this again: it is then asked for again",
        ) from error
    marked = cv2.resize(
        drawn.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_NEAREST
    )
    return bytes(cv2.imencode(".png", marked)[1].tobytes())
