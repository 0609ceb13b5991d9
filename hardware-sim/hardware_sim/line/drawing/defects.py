"""Defects that lie on a surface: scratch, crack, pit, stain, as coverage and shade."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hardware_sim.line.drawing.surface import Field, Pixels, uneven
from shared.painting.shapes import Sizes, blob, crack, pits, scratches

DefectKind = Literal["scratch", "crack", "pit", "stain", "missing_feature", "wrong_print"]
DEFECT_KINDS: tuple[DefectKind, ...] = get_args(DefectKind)

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

    def sizes(least: float, most: float) -> Sizes:
        return least * size, most * size

    match kind:
        case "scratch":
            # Its ground is bright.
            length = sizes(0.25, 0.5)
            return _covering(scratches(rng, height, width, most=1, length=length, inset=0.2), 0.95)
        case "crack":
            return _covering(crack(rng, height, width, length=sizes(0.38, 0.65), inset=0.2), 0.0)
        case "pit":
            radius = sizes(0.019, 0.032)
            return _lit(rng, pits(rng, height, width, most=1, radius=radius, inset=0.2))
        case "stain":
            return _dried(rng, blob(rng, height, width, radius=sizes(0.1, 0.16), inset=0.2))
        case "missing_feature" | "wrong_print":
            raise ValueError(f"{kind} is a change of the artwork, not paint on it")


def _lit(rng: np.random.Generator, cover: Field) -> Paint:
    """A dent lit from one side: dark wall, bright wall."""
    rows, columns = np.nonzero(cover > LEAST_COVER)
    light, radius = rng.uniform(0, 2 * np.pi), math.sqrt(max(1, len(rows)) / np.pi)
    y, x = np.indices(cover.shape, np.float32)
    slope = (x - columns.mean()) * np.cos(light) + (y - rows.mean()) * np.sin(light)
    shade = 1 / (1 + np.exp(-(slope / radius - 0.35) * 4))
    return _covering(cover, np.asarray(shade, np.float32))


def _dried(rng: np.random.Generator, inside: Field) -> Paint:
    """A drop that dried: cloudy inside, darker at its edge."""
    clouds = np.clip(0.75 + uneven(rng, inside.shape[0], inside.shape[1], 9, 0.25), 0.3, 1.0)
    edge = 4 * inside * (1 - inside)
    cover = inside * clouds * np.float32(0.42) + edge * np.float32(0.18)
    return _covering(np.asarray(cover, np.float32), 0.12)


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
