"""Compressed pictures → pixels: one decoder for box, training and learner, whose warnings are
errors.

OpenCV decodes all but JPEG. There libjpeg only warns of damage, OpenCV prints that and returns
pixels that the camera never saw; simplejpeg raises what libjpeg warns of.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shared.opener import Unopenable, require_picture

_JPEG, _END = b"\xff\xd8", b"\xff\xd9"
_SIGNATURES = (b"\x89PNG", b"II*\0", b"MM\0*", b"BM", b"RIFF")
_SPACES = {cv2.IMREAD_GRAYSCALE: "GRAY", cv2.IMREAD_COLOR: "BGR"}
AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
_FILL = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def decoded(encoded: bytes, mode: int) -> NDArray[Any]:
    """Pixels, (height, width) or (height, width, 3) BGR, turned as EXIF says.

    mode   cv2.IMREAD_…; uint8 but for those that keep the depth. Only IMREAD_UNCHANGED keeps
           transparency, and turns nothing
    Raises Unopenable for what claims too many pixels, is damaged, or is no picture.
    """
    require_picture(encoded)
    if encoded.startswith(_JPEG):
        return _jpeg(encoded, mode)
    return _by_opencv(encoded, mode)


def eight_bits_by_header(head: bytes) -> bool:
    """Whether a file that begins so has 8 bits a channel or fewer; False where only its pixels
    tell."""
    return head.startswith((_JPEG, b"BM", b"RIFF")) or (_is_png(head) and head[24] <= 8)


def transparent_by_header(head: bytes) -> bool:
    """Whether a file that begins so is a PNG with an alpha channel."""
    return _is_png(head) and head[25] in {4, 6}


def _is_png(head: bytes) -> bool:
    return head.startswith(_SIGNATURES[0]) and len(head) > 25


def loaded(path: Path, mode: int) -> NDArray[Any]:
    """The pixels of a file, as `decoded`. Raises Unopenable where it can't be read, too."""
    try:
        return decoded(path.read_bytes(), mode)
    except OSError as error:
        raise Unopenable(error.strerror or str(error)) from error


def _jpeg(encoded: bytes, mode: int) -> NDArray[Any]:
    try:
        stored = simplejpeg.decode_jpeg_header(encoded)[2]
        space = _SPACES.get(mode & ~cv2.IMREAD_ANYDEPTH) or ("GRAY" if stored == "Gray" else "BGR")
        pixels = _strictly(encoded, space)
    except (ValueError, RuntimeError) as error:
        raise Unopenable(f"it is cut off or damaged: {error}") from error
    # Both give the same pixels of the same data; OpenCV turns them, and knows inks.
    if b"Exif\0\0" in encoded or stored not in {"Gray", "YCbCr", "RGB"}:
        return _by_opencv(encoded, mode)
    return pixels[:, :, 0] if space == "GRAY" else pixels


def _strictly(encoded: bytes, space: str) -> NDArray[np.uint8]:
    """uint8 (height, width, 1 or 3). Raises ValueError for all that libjpeg warns of."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(encoded, colorspace=space, strict=True))
    except ValueError as error:
        fill, end = _FILL.search(str(error)), encoded.rfind(_END)
        # Cameras fill their buffers with zeros before the end mark; damage leaves other bytes.
        if fill is None or any(encoded[end - int(fill[1]) : end]):
            raise
        whole = encoded[: end - int(fill[1])] + encoded[end:]
        return np.asarray(simplejpeg.decode_jpeg(whole, colorspace=space, strict=True))


def _by_opencv(encoded: bytes, mode: int) -> NDArray[Any]:
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), mode) if encoded else None
    except cv2.error as error:
        raise Unopenable(f"OpenCV refuses it: {error.err}") from error
    if pixels is None:
        known = encoded.startswith(_SIGNATURES)
        raise Unopenable(
            "it is cut off or damaged" if known else "it is not a picture that OpenCV reads"
        )
    return np.asarray(pixels)
