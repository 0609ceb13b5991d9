"""Shapes that people draw around defects become masks, once they can be true of their picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import MaskShapes, box

Points = Sequence[tuple[float, float]]
Size = tuple[int, int]
# What tools round, and what a mouse draws beyond the border, in pixels.
SLACK = 1.0
_ELLIPSE = 48
# Pixels: shares of a picture that lie on one line are rounded, and each processor rounds its way.
_FLAT = 1e-6


def area(points: Points) -> float:
    """Pixels inside a polygon, 0 for what has no inside."""
    x, y = np.asarray(points, np.float64).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def polygon(points: Points, size: Size, *, cut: bool = False) -> MaskShapes:
    """A polygon's pixels, its border's with them, so that the thinnest scratch has some.

    points  (x, y), where (0, 0) is the upper left corner of the first pixel
    size    (height, width) of the picture
    cut     corners may lie outside of the picture, their middle may not
    Raises LabelFault for less than three corners, no area, and what lies outside of the picture.
    """
    _require_numbers(points)
    if points:
        _require_inside([_middle(points)] if cut else points, size)
    if len(set(points)) < 3:
        raise LabelFault(f"a polygon of {len(set(points))} corners has no inside")
    if area(points) < _FLAT:
        raise LabelFault("a polygon without an area")
    return _drawn([points], size)


def rectangle(
    left: float,
    top: float,
    width: float,
    height: float,
    size: Size,
    *,
    angle: float = 0.0,
    about: tuple[float, float] | None = None,
) -> MaskShapes:
    """A box, turned clockwise.

    angle   degrees
    about   the point that stays where it is; None: the upper left corner
    Raises LabelFault as `polygon` does.
    """
    _require_numbers([(left, top), (width, height), (angle, 0)])
    if width <= 0 or height <= 0:
        raise LabelFault(f"a box of {width:g} × {height:g} has no inside")
    if angle % 360:
        corners = [(left, top), (left + width, top)]
        corners += [(left + width, top + height), (left, top + height)]
        return polygon(turned(corners, about or (left, top), angle), size, cut=True)
    _require_inside([(left, top), (left + width, top + height)], size)
    return MaskShapes((box(left, top, max(width, 1), max(height, 1)),), size)


def ellipse(
    middle: tuple[float, float], radii: tuple[float, float], size: Size, *, angle: float = 0.0
) -> MaskShapes:
    """An ellipse, turned clockwise about its middle by `angle` degrees. Raises LabelFault."""
    _require_numbers([middle, radii, (angle, 0)])
    if min(radii) <= 0:
        raise LabelFault(f"an ellipse with the radii {radii[0]:g} and {radii[1]:g} has no inside")
    turns = [2 * math.pi * step / _ELLIPSE for step in range(_ELLIPSE)]
    (x, y), (across, down) = middle, radii
    points = [(x + across * math.cos(turn), y + down * math.sin(turn)) for turn in turns]
    return polygon(turned(points, middle, angle), size, cut=True)


def strip(points: Points, size: Size) -> MaskShapes:
    """A line through all points, one pixel wide. Raises LabelFault where it leaves the picture."""
    _require_inside(points, size)
    if len(points) < 2:
        raise LabelFault(f"a line of {len(points)} points")
    return _drawn(list(pairwise(points)), size)


def dots(points: Points, size: Size) -> MaskShapes:
    """Each point as a pixel. Raises LabelFault where one lies outside of the picture."""
    _require_inside(points, size)
    return _drawn([(point, point) for point in points], size)


def turned(points: Points, about: tuple[float, float], angle: float) -> list[tuple[float, float]]:
    """Points turned clockwise (y goes down) by so many degrees."""
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    x, y = about
    moved = [(across - x, down - y) for across, down in points]
    return [(x + cosine * a - sine * d, y + sine * a + cosine * d) for a, d in moved]


def paired(numbers: Sequence[float]) -> list[tuple[float, float]]:
    """x, y, x, y … as points. Raises LabelFault for an odd number."""
    if len(numbers) % 2:
        raise LabelFault(f"{len(numbers)} numbers are no pairs of x and y")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _drawn(lines: Sequence[Points], size: Size) -> MaskShapes:
    # Tools count from a pixel's corner, drawing from its middle.
    return MaskShapes(tuple(tuple((x - 0.5, y - 0.5) for x, y in line) for line in lines), size)


def _middle(points: Points) -> tuple[float, float]:
    x, y = np.mean(np.asarray(points, np.float64), axis=0)
    return float(x), float(y)


def _require_numbers(points: Points) -> None:
    if not all(math.isfinite(value) for point in points for value in point):
        raise LabelFault("a coordinate is no finite number")


def _require_inside(points: Points, size: Size) -> None:
    _require_numbers(points)
    height, width = size
    for x, y in points:
        if not (-SLACK <= x <= width + SLACK and -SLACK <= y <= height + SLACK):
            raise LabelFault(
                f"({x:g}, {y:g}) lies outside of the picture, which has {width} × {height}"
            )
