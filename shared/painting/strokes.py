"""Lines and patches with soft edges, drawn between pixels.

A canvas is uint8 or float32, (height, width) or (height, width, channels); coordinates (x, y) and
lengths are pixels, and need not be whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.uint8] | NDArray[np.float32]
Points = NDArray[np.floating] | Sequence[NDArray[np.float64]]
Shade = tuple[float, ...]
FULL: Shade = (1.0,)
# OpenCV draws between pixels when coordinates carry fractional bits.
FRACTION_BITS = 4


def stroke(canvas: Canvas, points: Points, width: int, shade: Shade = FULL) -> None:
    """An open line through points (n, 2)."""
    cv2.polylines(canvas, [_fixed(points)], False, shade, width, cv2.LINE_AA, FRACTION_BITS)


def patch(canvas: Canvas, corners: Points, shade: Shade = FULL) -> None:
    """A filled polygon with corners (n, 2)."""
    cv2.fillPoly(canvas, [_fixed(corners)], shade, cv2.LINE_AA, FRACTION_BITS)


def disc(canvas: Canvas, x: float, y: float, radius: float, shade: Shade = FULL) -> None:
    """A filled circle."""
    centre, size = _fixed([np.array([x, y])])[0].tolist(), max(1, int(_fixed(radius)))
    cv2.circle(canvas, centre, size, shade, -1, cv2.LINE_AA, FRACTION_BITS)


def ellipse(
    canvas: Canvas, at: NDArray[np.float64], radii: NDArray[np.float64], turn: float
) -> None:
    """A filled ellipse whose first axis is turned by so many degrees."""
    centre, axes = _fixed(at).tolist(), _fixed(radii).tolist()
    cv2.ellipse(canvas, centre, axes, turn, 0, 360, FULL, -1, cv2.LINE_AA, FRACTION_BITS)


def walk(
    start: NDArray[np.float64],
    heading: float,
    turns: NDArray[np.floating],
    stride: float | NDArray[np.floating],
) -> NDArray[np.float64]:
    """The points (n + 1, 2) of a path from `start` that turns n times, by radians, and then goes
    on by `stride`.
    """
    headings = np.cumsum([heading, *turns])[1:]
    steps = stride * np.stack([np.cos(headings), np.sin(headings)])
    return np.cumsum([start, *steps.T], axis=0)


def _fixed(points: Points | float) -> NDArray[np.int32]:
    return np.asarray(np.round(np.asarray(points) * 2**FRACTION_BITS), np.int32)
