"""Defects that never were: cut from one part's mask and laid on another, or drawn.

Few parts are defective, so a network sees the same few scratches again and again. Cutting and
laying follows *Cut, Paste and Learn* (Dwibedi et al., ICCV 2017); drawn ones are strokes and
spots, darker or brighter than what they cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.pictures import PictureArrays
from shared.features.preprocessing import MAP_STRIDE
from shared.painting.strokes import ellipse, stroke, walk

Pixels = NDArray[np.float32]
Mask = NDArray[np.float32]
MARGIN = 1


@dataclass(frozen=True, slots=True)
class Cutting:
    """A defect with its surroundings.

    picture  float32 (c, h, w), the difference from the shade around the defect
    mask     float32 (h/8, w/8), share of each place that is defective
    """

    picture: Pixels
    mask: Mask


def cuttings(pictures: PictureArrays, kinds: NDArray[np.int64]) -> list[tuple[Cutting, int]]:
    """Every defect with a known mask that is small enough to be laid elsewhere, and its kind."""
    found = []
    for index in range(len(pictures.inputs)):
        mask = pictures.masks[index]
        rows, columns = np.nonzero(mask > 0)
        if not len(rows):
            continue
        box = _box(rows, columns, mask.shape)
        height, width = box[1] - box[0], box[3] - box[2]
        if height * width > mask.size / 4:
            continue
        found.append((_cut(pictures.inputs[index], mask, box), int(kinds[index])))
    return found


def _box(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    top, left = max(0, int(rows.min()) - MARGIN), max(0, int(columns.min()) - MARGIN)
    bottom = min(shape[0], int(rows.max()) + 1 + MARGIN)
    right = min(shape[1], int(columns.max()) + 1 + MARGIN)
    return top, bottom, left, right


def _cut(picture: NDArray[np.uint8], mask: Mask, box: tuple[int, int, int, int]) -> Cutting:
    top, bottom, left, right = box
    inside = mask[top:bottom, left:right]
    s = MAP_STRIDE
    pixels = picture[:, top * s : bottom * s, left * s : right * s].astype(np.float32)
    sound = _widen(inside) < 0.05
    shade = pixels[:, sound].mean(axis=1) if sound.any() else pixels.mean(axis=(1, 2))
    return Cutting(pixels - shade[:, np.newaxis, np.newaxis], inside)


def _widen(mask: Mask) -> Mask:
    """From places to pixels, with a soft edge."""
    size = (mask.shape[1] * MAP_STRIDE, mask.shape[0] * MAP_STRIDE)
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR), np.float32)


def lay(
    picture: Pixels, mask: Mask, cutting: Cutting, rng: np.random.Generator
) -> tuple[Pixels, Mask]:
    """A copy of picture (c, h, w) and mask (h/8, w/8) with the defect at a random place."""
    defect, shape = cutting.picture, cutting.mask
    if rng.random() < 0.5:
        defect, shape = defect[:, :, ::-1], shape[:, ::-1]
    if rng.random() < 0.5:
        defect, shape = defect[:, ::-1], shape[::-1]
    shape = np.ascontiguousarray(shape)
    top = int(rng.integers(0, mask.shape[0] - shape.shape[0] + 1))
    left = int(rng.integers(0, mask.shape[1] - shape.shape[1] + 1))
    places = (slice(top, top + shape.shape[0]), slice(left, left + shape.shape[1]))
    s = MAP_STRIDE
    pixels = (
        slice(top * s, (top + shape.shape[0]) * s),
        slice(left * s, (left + shape.shape[1]) * s),
    )
    changed, marked = picture.copy(), mask.copy()
    under = changed[:, *pixels]
    shade = under.mean(axis=(1, 2), keepdims=True)
    soft = np.minimum(_widen(shape) * 2, 1.0)
    strength = rng.uniform(0.7, 1.2)
    changed[:, *pixels] = np.clip(under * (1 - soft) + (shade + strength * defect) * soft, 0, 255)
    marked[places] = np.maximum(marked[places], shape)
    return changed, marked


def draw(picture: Pixels, mask: Mask, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A copy of picture (c, h, w) and mask (h/8, w/8) with a stroke or a spot drawn on."""
    height, width = picture.shape[1:]
    canvas = np.zeros((height, width), np.float32)
    point, scale = rng.uniform(0.1, 0.9, 2) * (width, height), height / 224
    if rng.random() < 0.5:
        radii = rng.uniform(2, 8, 2) * scale
        ellipse(canvas, point, radii, float(rng.uniform(0, 180)))
    else:
        heading, steps = rng.uniform(0, 2 * np.pi), int(rng.integers(4, 14))
        moves = np.array([(rng.normal(0, 0.35), rng.uniform(4, 12)) for _ in range(steps)])
        path = walk(point, heading, moves[:, 0], moves[:, 1] * scale)
        stroke(canvas, path, int(rng.integers(1, 4)))
    canvas = np.asarray(cv2.GaussianBlur(canvas, (3, 3), 0), np.float32)
    depth = rng.uniform(25, 90) * (-1 if rng.random() < 0.7 else 1)
    changed = np.clip(picture + depth * canvas, 0, 255)
    s = MAP_STRIDE
    share = canvas.reshape(height // s, s, width // s, s).mean(axis=(1, 3))
    return changed, np.maximum(mask, np.minimum(share * 4, 1))


def add_defects(
    picture: Pixels,
    mask: Mask,
    chosen: NDArray[np.bool_],
    cut: list[tuple[Cutting, int]],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Give the chosen pictures of a batch a defect each, in place; returns its kind, or -1.

    picture  float32 (n, c, h, w); mask float32 (n, h/8, w/8); chosen bool (n,)
    cut     what can be laid; without any, defects are drawn
    """
    kinds = np.full(len(picture), -1, np.int64)
    for index in np.flatnonzero(chosen):
        if cut and rng.random() < 0.6:
            cutting, kind = cut[int(rng.integers(len(cut)))]
            picture[index], mask[index] = lay(picture[index], mask[index], cutting, rng)
            kinds[index] = kind
        else:
            picture[index], mask[index] = draw(picture[index], mask[index], rng)
    return kinds
