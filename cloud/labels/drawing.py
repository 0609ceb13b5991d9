"""Where inspectors draw that a defect is: a mask, small enough to travel with its label."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import SettingsError
from shared.features.picture_file import decoded
from shared.opener import Unopenable
from shared.wire import MAX_MASK

MAX_SENT = 64 * 1024
LONGEST = 512
_SIGNATURE, _HEADER = b"\x89PNG\r\n\x1a\n", 24
_FIX = f"send a PNG of at most {LONGEST} × {LONGEST} pixels that covers the whole picture"


def mask_of(sent: bytes) -> bytes:
    """What a browser drew as it is kept: a PNG of one bit a pixel, 1 where the defect is.

    sent   a PNG of the whole picture's shape, at most LONGEST pixels on a side; drawn is what is
           more than half opaque, or bright where it has no transparency
    Raises SettingsError.
    """
    if len(sent) > MAX_SENT:
        raise SettingsError(f"drawing: {len(sent)} B came, at most {MAX_SENT} are taken", fix=_FIX)
    size = _size_of(sent)
    if not all(0 < side <= LONGEST for side in size):
        raise SettingsError(f"drawing: {size[0]} × {size[1]} pixels came", fix=_FIX)
    try:
        pixels = decoded(sent, cv2.IMREAD_UNCHANGED)
    except Unopenable as error:
        raise SettingsError(f"drawing: {error}", fix=_FIX) from error
    flat = pixels if pixels.ndim == 2 else pixels[..., 3 if pixels.shape[2] == 4 else 0]
    return encoded(flat > 127)


def encoded(mask: NDArray[np.bool_]) -> bytes:
    """A mask (height, width) as it is kept. Raises SettingsError where nothing is drawn, or so
    much and so fine that it can't travel."""
    if not mask.any():
        raise SettingsError("drawing: nothing is drawn", fix="draw, or leave out `drawing`")
    bits = mask.astype(np.uint8) * 255
    done, png = cv2.imencode(".png", bits, [cv2.IMWRITE_PNG_BILEVEL, 1])
    if not done or png.size > MAX_MASK:
        raise SettingsError(
            f"drawing: it takes {png.size} B, at most {MAX_MASK} travel to a device",
            fix="draw with a broader brush",
        )
    return png.tobytes()


def _size_of(sent: bytes) -> tuple[int, int]:
    """Width and height, as the header says."""
    if not sent.startswith(_SIGNATURE) or len(sent) < _HEADER:
        raise SettingsError("drawing: it is no PNG", fix=_FIX)
    return int.from_bytes(sent[16:20], "big"), int.from_bytes(sent[20:24], "big")
