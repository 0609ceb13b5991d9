"""Defects that lie on a surface: scratch, crack, pit, stain, as coverage and shade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware_sim.line.drawing.surface import Field, Pixels, stroke, uneven

DefectKind = Literal["scratch", "crack", "pit", "stain", "missing_feature", "wrong_print"]
DEFECT_KINDS: tuple[DefectKind, ...] = get_args(DefectKind)

Point = NDArray[np.float64]

LEAST_COVER = 0.08
HALF_SEVERITY = 0.0006


@dataclass(frozen=True, slots=True)
class Paint:
    """A defect before it is laid on a surface.

    cover   float32 (h, w), 0–1: how much of the surface is changed; 0 outside the defect
    shade   float32 (h, w), 0 (the surface's dark) – 1 (its light): what it is changed to
    """

    cover: Field
    shade: Field


def severity(area: float, contrast: float) -> float:
    """How plain a defect is, 0 (can't be seen) – 1 (can't be overlooked).

    area      share of the picture that the mask covers, 0–1
    contrast  mean change within the mask, 0–1, where 1 turns black to white
    Grows with area × contrast, and is one half where that is 0.0006: as much change as turning
    0.06 % of the picture from black to white, a hair-thin scratch over a third of it.
    """
    change = area * contrast
    return change / (change + HALF_SEVERITY)


def paint(
    kind: DefectKind, rng: np.random.Generator, height: int, width: int, size: float
) -> Paint:
    """Draw a defect that lies on the surface; `size` is 1 for an ordinary one of its kind."""
    side = min(height, width) * size
    canvas = np.zeros((height, width), np.uint8)
    start = rng.uniform(0.2, 0.8, 2) * (width, height)
    match kind:
        case "scratch":
            return _scratch(canvas, rng, start, side)
        case "crack":
            return _crack(canvas, rng, start, side)
        case "pit":
            return _pit(canvas, rng, start, side)
        case "stain":
            return _stain(canvas, rng, start, side)
        case "missing_feature" | "wrong_print":
            raise ValueError(f"{kind} is a change of the artwork, not paint on it")


def _scratch(canvas: Pixels, rng: np.random.Generator, start: Point, side: float) -> Paint:
    """A slightly bent line with a bright ground, at times with a fainter one beside it."""
    heading = rng.uniform(0, np.pi)
    along = np.array([np.cos(heading), np.sin(heading)])
    across = np.array([-along[1], along[0]])
    length, bend = rng.uniform(0.22, 0.42) * side, rng.normal(0, 0.03) * side
    t = np.linspace(-0.5, 0.5, 16)[:, np.newaxis]
    points = start + along * length * t + across * bend * (1 - 4 * t**2)
    thick = max(1, round(0.006 * side))
    if rng.random() < 0.4:
        stroke(canvas, points[4:12] + across * 3 * thick, (150.0,), 1)
    stroke(canvas, points, (255.0,), thick)
    return _paint(canvas, 0.6, 0.95)


def _crack(canvas: Pixels, rng: np.random.Generator, start: Point, side: float) -> Paint:
    """A walk that changes its mind, with branches."""
    heading = rng.uniform(0, 2 * np.pi)
    steps, step = 14, 0.03 * side
    turns = heading + np.cumsum(rng.normal(0, 0.35, steps))
    points = start + np.cumsum(step * np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0)
    points += start - points[steps // 2]
    thick = max(1, round(0.005 * side))
    stroke(canvas, points[:10], (255.0,), thick)
    stroke(canvas, points[9:], (230.0,), max(1, thick - 1))
    for place in rng.choice(np.arange(2, steps - 3), 2, replace=False):
        turn = turns[place] + rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
        away = np.array([np.cos(turn), np.sin(turn)]) * step
        branch = points[place] + np.arange(4)[:, np.newaxis] * away + rng.normal(0, 0.8, (4, 2))
        stroke(canvas, branch, (200.0,), 1)
    return _paint(canvas, 0.5, 0.0)


def _pit(canvas: Pixels, rng: np.random.Generator, start: Point, side: float) -> Paint:
    """A dent lit from one side: dark wall, bright wall."""
    radius = max(1.2, rng.uniform(0.014, 0.024) * side)
    _blob(canvas, rng, start, radius, roughness=0.2)
    rows, columns = np.indices(canvas.shape, np.float32)
    light = rng.uniform(0, 2 * np.pi)
    slope = (columns - start[0]) * np.cos(light) + (rows - start[1]) * np.sin(light)
    shade = 1 / (1 + np.exp(-(slope / radius - 0.35) * 4))
    return _paint(canvas, 0.6, np.asarray(shade, np.float32))


def _stain(canvas: Pixels, rng: np.random.Generator, start: Point, side: float) -> Paint:
    """A dried drop: cloudy inside, darker at its edge."""
    radius = rng.uniform(0.07, 0.12) * side
    _blob(canvas, rng, start, radius, roughness=0.28)
    inside = cv2.GaussianBlur(canvas, (0, 0), radius * 0.22).astype(np.float32) / 255
    edge = 4 * inside * (1 - inside)
    clouds = np.clip(0.75 + uneven(rng, canvas.shape[0], canvas.shape[1], 9, 0.25), 0.3, 1.0)
    cover = inside * clouds * np.float32(0.42) + edge * np.float32(0.18)
    return _covering(np.asarray(cover, np.float32), 0.12)


def _blob(
    canvas: Pixels, rng: np.random.Generator, centre: Point, radius: float, roughness: float
) -> None:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = np.ones(40)
    for wave in (2, 3, 5):
        outline += rng.normal(0, roughness / wave) * np.cos(wave * angle + rng.uniform(0, 6.28))
    spokes = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    corners = centre + spokes * radius * np.maximum(outline, 0.3)[:, np.newaxis]
    cv2.fillPoly(canvas, [np.rint(corners * 16).astype(np.int32)], (255.0,), cv2.LINE_AA, 4)


def _paint(canvas: Pixels, blur: float, shade: float | Field) -> Paint:
    soft = cv2.GaussianBlur(canvas, (0, 0), blur).astype(np.float32) / np.float32(255)
    return _covering(np.asarray(soft, np.float32), shade)


def _covering(cover: Field, shade: float | Field) -> Paint:
    cover[cover < LEAST_COVER] = 0
    return Paint(cover, np.broadcast_to(np.asarray(shade, np.float32), cover.shape))


def lay(
    clean: Pixels, paint: Paint, contrast: float, dark: tuple[float, ...], light: tuple[float, ...]
) -> tuple[Pixels, NDArray[np.bool_]]:
    """The surface with the defect, and its mask; not a pixel outside the mask is changed.

    contrast   share of the way from the surface's shade to the defect's, 0–1
    """
    mask = paint.cover > 0
    rows, columns = np.nonzero(mask)
    pixels = clean.copy()
    share = (paint.cover[rows, columns] * np.float32(contrast))[:, np.newaxis]
    tone = paint.shade[rows, columns][:, np.newaxis]
    goal = np.array(dark, np.float32) * (1 - tone) + np.array(light, np.float32) * tone
    before = clean[rows, columns].reshape(len(rows), -1).astype(np.float32)
    after = np.rint(before + share * (goal - before)).clip(0, 255).astype(np.uint8)
    pixels[rows, columns] = after.reshape(pixels[rows, columns].shape)
    return pixels, np.asarray(mask, np.bool_)
