"""Defects painted onto good parts, for data that has none.

A network that finds what was painted has learned what disturbs such a surface, and finds real
defects of kinds that it never saw (*CutPaste*, Li et al., CVPR 2021; *DRAEM*, Zavrtanik et al.,
ICCV 2021). The kinds here are the common ones of machined, cast, printed and coated surfaces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import TrainingError
from shared.painting.shapes import (
    Shape,
    area,
    bite,
    blob,
    box,
    crack,
    log_uniform,
    noise,
    pits,
    scratches,
)

Pixels = NDArray[np.float32]
Fill = Callable[[Pixels, Shape, Pixels, np.random.Generator], Pixels]
Draw = Callable[[np.random.Generator, int, int], Shape]
ATTEMPTS = 200
LARGEST = 0.6
DARK_SHARE = 0.65


class PaintedKind(NamedTuple):
    """A kind of defect that is painted.

    share     of all defects
    visible   by how many grey levels it must change the picture somewhere
    """

    name: str
    share: float
    shape: Draw
    fill: Fill
    visible: float = 8.0


class Painted(NamedTuple):
    """A part with a defect.

    picture   uint8 (c, h, w)
    mask      bool (h, w), where it is defective
    """

    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    kind: str


class Painter:
    """Paints defects; other good parts lend their texture.

    goods   uint8 (n, c, h, w), n ≥ 1
    """

    def __init__(self, goods: NDArray[np.uint8], seed: int) -> None:
        self._goods = goods
        self._rng = np.random.default_rng(seed)
        self._shares = np.array([kind.share for kind in KINDS])
        self._shares /= self._shares.sum()

    def paint(self, picture: NDArray[np.uint8]) -> Painted:
        """A copy of a good part, uint8 (c, h, w), with one defect that can be seen.

        Raises TrainingError where a picture is too small to see any.
        """
        rng = self._rng
        before = picture.astype(np.float32)
        for _ in range(ATTEMPTS):
            kind = KINDS[rng.choice(len(KINDS), p=self._shares)]
            shape = kind.shape(rng, *picture.shape[1:])
            source = self._goods[rng.integers(len(self._goods))].astype(np.float32)
            after = np.clip(kind.fill(before, shape, source, rng), 0, 255)
            mask = _changed(before, after, shape, kind.visible)
            if mask is not None:
                return Painted(np.asarray(np.rint(after), np.uint8), mask, kind.name)
        raise TrainingError(
            f"none of {ATTEMPTS} defects can be seen on a picture of "
            f"{picture.shape[2]}×{picture.shape[1]} pixels",
            fix="use a larger --height and --width",
        )


def _changed(
    before: Pixels, after: Pixels, shape: Shape, visible: float
) -> NDArray[np.bool_] | None:
    """Where the defect lies; None where it is hardly to be seen, or nearly everywhere."""
    change = np.asarray(np.abs(after - before).max(axis=0), np.float32)
    seen = (change > visible) & (shape > 0.15)
    if seen.sum() < max(6, 0.0003 * seen.size):
        return None
    around = np.asarray(cv2.GaussianBlur(change, (0, 0), 2), np.float32)
    mask = ((shape > 0.3) & (around > 2)) | seen
    return mask if mask.mean() < LARGEST else None


def _blend(picture: Pixels, other: Pixels, shape: Shape) -> Pixels:
    return np.asarray(picture + (other - picture) * shape, np.float32)


def _shade(picture: Pixels, shape: Shape, _: Pixels, rng: np.random.Generator) -> Pixels:
    """Darker or brighter than what it covers, now and then grainy."""
    strength = log_uniform(rng, 0.15, 0.95)
    if rng.random() < DARK_SHARE:
        other = picture * (1 - strength)
    else:
        other = picture + strength * rng.uniform(0.4, 1) * (255 - picture)
    if rng.random() < 0.5:
        other = other + rng.normal(0, rng.uniform(2, 14), picture.shape[1:])
    return _blend(picture, np.asarray(other, np.float32), shape)


def _stain(picture: Pixels, shape: Shape, _: Pixels, rng: np.random.Generator) -> Pixels:
    """The surface shows through, darker or brighter."""
    factor = rng.uniform(0.55, 0.9) if rng.random() < 0.6 else rng.uniform(1.12, 1.6)
    return _blend(picture, np.asarray(picture * factor, np.float32), shape)


def _wear(picture: Pixels, shape: Shape, _: Pixels, rng: np.random.Generator) -> Pixels:
    """Smoothed, roughened, or both."""
    other = _blurred(picture, rng.uniform(1, 5)) if rng.random() < 0.6 else picture
    if rng.random() < 0.75:
        grain = noise(rng, shape.shape[0], shape.shape[1], int(rng.integers(12, 90)))
        other = np.asarray(other + rng.uniform(8, 35) * grain, np.float32)
    return _blend(picture, other, shape)


def _paste(picture: Pixels, shape: Shape, source: Pixels, rng: np.random.Generator) -> Pixels:
    """Another part's surface, turned and scaled."""
    height, width = shape.shape
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), float(rng.uniform(0, 360)), log_uniform(rng, 0.6, 2.5)
    )
    turn[:, 2] = turn[:, 2] + rng.uniform(-0.3, 0.3, 2) * (width, height)
    planes = [
        cv2.warpAffine(plane, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
        for plane in source
    ]
    other = np.asarray(np.stack(planes), np.float32)
    if rng.random() < 0.6:
        other = _levelled(other, picture, shape, rng)
    return _blend(picture, other, shape)


def _rework(picture: Pixels, shape: Shape, source: Pixels, rng: np.random.Generator) -> Pixels:
    """As if another tool, batch or lamp had been there: other texture, brightness or contrast."""
    if rng.random() < 0.35:
        turned = source[:, ::-1, ::-1] if rng.random() < 0.5 else source
        return _blend(picture, _levelled(turned, picture, shape, rng), shape)
    smooth = _blurred(picture, 6)
    what = rng.random()
    brightness = 1 + rng.choice([-1, 1]) * log_uniform(rng, 0.06, 0.4) if what < 0.8 else 1.0
    contrast = log_uniform(rng, 0.3, 2.2) if what > 0.6 else 1.0
    other = smooth * brightness + (picture - smooth) * contrast
    return _blend(picture, np.asarray(other, np.float32), shape)


def _levelled(other: Pixels, picture: Pixels, shape: Shape, rng: np.random.Generator) -> Pixels:
    """`other` at about the brightness that the picture has inside the shape."""
    inside = shape > 0.3
    if not inside.any():
        return other
    wanted = picture[:, inside].mean(axis=1) * rng.uniform(0.85, 1.15)
    shift = wanted - other[:, inside].mean(axis=1)
    return np.asarray(other + shift[:, np.newaxis, np.newaxis], np.float32)


def _blurred(picture: Pixels, radius: float) -> Pixels:
    return np.stack([np.asarray(cv2.GaussianBlur(p, (0, 0), radius), np.float32) for p in picture])


def _patch(rng: np.random.Generator, height: int, width: int) -> Shape:
    if rng.random() < 0.4:
        return box(rng, height, width)
    return blob(rng, height, width, radius=(0.02, 0.25), rough=rng.uniform(0, 0.8))


KINDS = (
    PaintedKind("scratch", 0.13, scratches, _shade),
    PaintedKind("crack", 0.17, crack, _shade),
    PaintedKind("pit", 0.17, pits, _shade),
    PaintedKind("bite", 0.09, bite, _shade),
    PaintedKind("stain", 0.10, blob, _stain),
    PaintedKind("wear", 0.06, blob, _wear),
    PaintedKind("patch", 0.14, _patch, _paste),
    PaintedKind("area", 0.14, area, _rework, visible=4.0),
)
