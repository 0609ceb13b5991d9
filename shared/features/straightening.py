"""What of a picture the network sees, and where on the picture a place of its input lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.features.pixel_settings import PixelSettings, Point

_UNIT = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
# A map is laid over the whole picture with at most so many times its places on a side.
_FINEST = 8


def straightened(pixels: NDArray[Any], settings: PixelSettings) -> NDArray[Any]:
    """Blacken, cut out and turn, as the settings say.

    pixels   (h, w) or (h, w, 3) of a whole picture; a mask of bool becomes such a mask
    """
    if not settings.shapes:
        return pixels
    mask = pixels.dtype == np.bool_
    seen = _blackened(pixels.astype(np.uint8) if mask else pixels, settings)
    if settings.corners is not None:
        seen = _upright(seen, settings.corners, cv2.INTER_NEAREST if mask else cv2.INTER_LINEAR)
    elif settings.crop is not None:
        seen = _cut(seen, settings.crop)
    turned = np.ascontiguousarray(np.rot90(seen, -settings.turn // 90))
    return turned.astype(np.bool_) if mask else turned


def seen_size(height: int, width: int, settings: PixelSettings) -> tuple[int, int]:
    """Height and width of what `straightened` gives of a picture of this size."""
    if settings.corners is not None:
        width, height = _upright_size(_in_pixels(settings.corners, height, width))
    elif settings.crop is not None:
        left, top, right, bottom = settings.crop
        first, last = _edges(top, bottom, height)
        start, end = _edges(left, right, width)
        height, width = last - first, end - start
    return (width, height) if settings.turn % 180 else (height, width)


def onto_picture(found: NDArray[np.float32], settings: PixelSettings) -> NDArray[np.float32]:
    """A map of the network's input (h, w) as one of the whole picture; nothing where it did not
    look."""
    if not settings.moves:
        return found
    turns = settings.turn // 90
    upright = np.ascontiguousarray(np.rot90(found, turns))
    height, width = upright.shape
    corners = _corners(settings)
    extent = corners.max(axis=0) - corners.min(axis=0)
    size = [
        min(math.ceil(side / float(share)), side * _FINEST)
        for side, share in zip((width, height), extent, strict=True)
    ]
    from_map = _UNIT * np.array([width, height], np.float32) - np.float32(0.5)
    to_picture = corners * np.array(size, np.float32) - np.float32(0.5)
    back = cv2.getPerspectiveTransform(from_map, to_picture.astype(np.float32))
    laid = cv2.warpPerspective(upright, back, size, flags=cv2.INTER_LINEAR)
    return np.asarray(laid, np.float32)


def _corners(settings: PixelSettings) -> NDArray[np.float32]:
    if settings.corners is not None:
        return np.array(settings.corners, np.float32)
    left, top, right, bottom = settings.crop or (0, 0, 1, 1)
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def _blackened(pixels: NDArray[Any], settings: PixelSettings) -> NDArray[Any]:
    if not settings.region and not settings.ignored:
        return pixels
    height, width = pixels.shape[:2]
    kept = np.full((height, width), 0 if settings.region else 1, np.uint8)
    for polygons, value in ((settings.region, 1), (settings.ignored, 0)):
        for polygon in polygons:
            cv2.fillPoly(kept, [_places(polygon, height, width)], value)
    return np.asarray(pixels * (kept if pixels.ndim == 2 else kept[:, :, np.newaxis]))


def _places(polygon: Sequence[Point], height: int, width: int) -> NDArray[np.int32]:
    whole = np.array(polygon, np.float64) * (width, height) - 0.5
    return np.rint(whole).astype(np.int32)


def _cut(pixels: NDArray[Any], crop: tuple[float, float, float, float]) -> NDArray[Any]:
    height, width = pixels.shape[:2]
    left, right = _edges(crop[0], crop[2], width)
    top, bottom = _edges(crop[1], crop[3], height)
    return pixels[top:bottom, left:right]


def _edges(low: float, high: float, side: int) -> tuple[int, int]:
    """At least one pixel, however small the picture."""
    first = min(round(low * side), side - 1)
    return first, max(round(high * side), first + 1)


def _upright(pixels: NDArray[Any], corners: Sequence[Point], how: int) -> NDArray[Any]:
    found = _in_pixels(corners, *pixels.shape[:2])
    size = _upright_size(found)
    wanted = _UNIT * np.array(size, np.float32)
    half = np.float32(0.5)
    there = cv2.getPerspectiveTransform((found - half), (wanted - half).astype(np.float32))
    return np.asarray(cv2.warpPerspective(pixels, there, size, flags=how))


def _in_pixels(corners: Sequence[Point], height: int, width: int) -> NDArray[np.float32]:
    return np.array(corners, np.float32) * np.array([width, height], np.float32)


def _upright_size(found: NDArray[np.float32]) -> tuple[int, int]:
    """Width and height, as large as the quadrangle is in the picture, by its longer sides."""
    upper, right, lower, left = np.linalg.norm(found - np.roll(found, -1, axis=0), axis=1)
    return max(1, round(max(upper, lower))), max(1, round(max(left, right)))
