"""Where a painted defect lies: soft shapes, drawn at random.

Each function takes a generator and the picture's height and width, and returns float32
(height, width), how much of each pixel is defective, 0–1. Sizes are shares of the shorter side, so
that they mean the same at any input size; a range of them is drawn from evenly by logarithm.
`inset` is the share of height and width at either end in which no defect has its middle or start.
"""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.painting.strokes import ellipse, patch, stroke, walk

Shape = NDArray[np.float32]
Sizes = tuple[float, float]
LENGTHS: Sizes = (0.06, 0.7)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A draw between two positive bounds, as often below their geometric mean as above."""
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def noise(rng: np.random.Generator, height: int, width: int, cells: int) -> Shape:
    """Smooth noise of mean 0 and variance 1; `cells` of its largest waves fit the longer side."""
    total = np.zeros((height, width), np.float32)
    strength, longer = 1.0, max(height, width)
    for octave in range(3):
        fine = cells * 2**octave
        if octave and fine > longer / 2:
            break
        grid = (max(2, round(fine * height / longer)), max(2, round(fine * width / longer)))
        waves = cv2.resize(
            rng.standard_normal(grid, np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        total += strength * np.asarray(waves, np.float32)
        strength /= 2
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), np.float32)


def scratches(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    most: int = 3,
    length: Sizes = LENGTHS,
    inset: float = 0.0,
) -> Shape:
    """Up to `most` long strokes, straight or evenly bent."""
    canvas = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, most + 1))):
        bend = rng.normal(0, 0.04)
        _stroke(canvas, _path(rng, canvas, length, inset, bend=bend, shake=0.03), rng)
    return _uneven(canvas, rng)


def crack(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    length: Sizes = LENGTHS,
    inset: float = 0.0,
) -> Shape:
    """One stroke, from straight to jagged, with branches."""
    canvas = np.zeros((height, width), np.float32)
    shake = log_uniform(rng, 0.02, 0.5)
    trunk = _path(rng, canvas, length, inset, bend=0.0, shake=shake)
    _stroke(canvas, trunk, rng)
    for place, after in pairwise(trunk):
        if rng.random() < 0.08:
            step = after - place
            heading = math.atan2(step[1], step[0]) + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
            turns = rng.normal(0.0, shake, int(rng.integers(2, 7)))
            stroke(canvas, walk(place, heading, turns, math.hypot(*step)), 1)
    return _uneven(canvas, rng)


def pits(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    most: int = 5,
    radius: Sizes = (0.005, 0.035),
    inset: float = 0.0,
) -> Shape:
    """Up to `most` small holes near one another."""
    side = min(height, width)
    canvas = np.zeros((height, width), np.float32)
    middle = _place(rng, canvas, inset)
    spread = log_uniform(rng, 0.02, 0.25) * side
    for index in range(int(rng.integers(1, most + 1))):
        across = log_uniform(rng, *radius) * side
        at = middle + (rng.normal(0, spread, 2) if index else 0.0)
        axes = np.array([across, across * rng.uniform(0.4, 1)])
        ellipse(canvas, at, axes, float(rng.uniform(0, 180)))
    return _softened(canvas, rng.uniform(0.4, 1.5))


def blob(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    radius: Sizes = (0.03, 0.35),
    rough: float = 0.5,
    inset: float = 0.0,
) -> Shape:
    """An ellipse with a ragged, soft edge."""
    side = min(height, width)
    across, down = (log_uniform(rng, *radius) * side for _ in range(2))
    y, x = _grid(height, width)
    y = y - rng.uniform(inset * height, (1 - inset) * height)
    x = x - rng.uniform(inset * width, (1 - inset) * width)
    turn = rng.uniform(0, np.pi)
    u = (x * np.cos(turn) + y * np.sin(turn)) / across
    v = (y * np.cos(turn) - x * np.sin(turn)) / down
    ragged = rough * 0.6 * noise(rng, height, width, int(rng.integers(4, 24)))
    return _clipped((1 - u * u - v * v + ragged) / rng.uniform(0.05, 0.6))


def box(rng: np.random.Generator, height: int, width: int) -> Shape:
    """A rectangle at any angle."""
    side = min(height, width)
    size = tuple(log_uniform(rng, 0.02, 0.35) * side for _ in range(2))
    middle = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
    corners = cv2.boxPoints((middle, size, float(rng.uniform(0, 180))))
    canvas = np.zeros((height, width), np.float32)
    patch(canvas, np.asarray(corners, np.float64))
    return canvas


def bite(rng: np.random.Generator, height: int, width: int) -> Shape:
    """A piece out of one of the picture's borders, as where an edge broke."""
    y, x = _grid(height, width)
    inwards, along = [(y, x), (height - 1 - y, x), (x, y), (width - 1 - x, y)][rng.integers(4)]
    side = min(height, width)
    middle = rng.uniform(0, float(along.max()))
    half, depth = log_uniform(rng, 0.03, 0.35) * side, log_uniform(rng, 0.03, 0.2) * side
    away = (along - middle) / half
    ragged = 0.25 * noise(rng, height, width, 20) * (np.abs(away) < 1)
    return _clipped((depth * (np.clip(1 - away * away, 0, 1) + ragged) - inwards) / 1.5)


def area(rng: np.random.Generator, height: int, width: int) -> Shape:
    """A large part of the picture, up to half: one side of a wavy line, or a large blob."""
    if rng.random() < 0.4:
        return blob(rng, height, width, radius=(0.12, 0.5), rough=rng.uniform(0.1, 1))
    turn = rng.uniform(0, np.pi)
    if rng.random() < 0.6:
        # What a machine or a belt leaves runs along the part or across it.
        turn = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.08)
    y, x = _grid(height, width)
    x, y = x - rng.uniform(0.05, 0.95) * width, y - rng.uniform(0.05, 0.95) * height
    wave = log_uniform(rng, 0.3, 6) * noise(rng, height, width, int(rng.integers(3, 16)))
    away = x * np.cos(turn) + y * np.sin(turn) + wave
    shape = _clipped(away / log_uniform(rng, 1, 10) + 0.5)
    return shape if shape.mean() < 0.5 else np.asarray(1 - shape, np.float32)


def _place(rng: np.random.Generator, canvas: Shape, inset: float) -> NDArray[np.float64]:
    far = np.array(canvas.shape[::-1])
    return rng.uniform(inset * far, (1 - inset) * far)


def _path(
    rng: np.random.Generator,
    canvas: Shape,
    length: Sizes,
    inset: float,
    *,
    bend: float,
    shake: float,
) -> NDArray[np.float64]:
    """A path from a random point; bend and shake are radians a step, even and random."""
    whole = log_uniform(rng, *length) * min(canvas.shape)
    stride = max(2.0, whole / int(rng.integers(6, 25)))
    start = _place(rng, canvas, inset)
    heading = rng.uniform(0, 2 * np.pi)
    return walk(start, heading, rng.normal(bend, shake, int(whole / stride)), stride)


def _stroke(canvas: Shape, path: NDArray[np.float64], rng: np.random.Generator) -> None:
    thickest = max(2, round(min(canvas.shape) / 80))
    stroke(canvas, path, int(rng.integers(1, thickest + 1)))


def _uneven(canvas: Shape, rng: np.random.Generator) -> Shape:
    """Strokes that fade in places, and are out of focus now and then."""
    if rng.random() < 0.5:
        canvas = _softened(canvas, rng.uniform(0.4, 1.2))
    fade = np.clip(0.75 + 0.35 * noise(rng, canvas.shape[0], canvas.shape[1], 16), 0.2, 1)
    return np.asarray(canvas * fade, np.float32)


def _softened(canvas: Shape, radius: float) -> Shape:
    blurred = np.asarray(cv2.GaussianBlur(canvas, (0, 0), radius), np.float32)
    return np.asarray(blurred / max(float(blurred.max()), 1e-6), np.float32)


def _grid(height: int, width: int) -> tuple[Shape, Shape]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return y, x


def _clipped(shape: NDArray[np.floating]) -> Shape:
    return np.asarray(np.clip(shape, 0, 1), np.float32)
