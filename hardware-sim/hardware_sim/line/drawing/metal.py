"""A brushed metal tile: four drilled holes, a milled slot, an engraved number. Grey."""

from __future__ import annotations

import cv2
import numpy as np

from hardware_sim.line.drawing.surface import (
    MISPRINTS,
    ArtworkDefect,
    Field,
    Pixels,
    box,
    lettering,
    misspelt,
    noise,
    uneven,
)
from shared.painting.strokes import Shade, disc, patch, stroke

BELT, BODY, HOLE, ENGRAVED = (34.0,), (152.0,), (28.0,), (84.0,)
RIM: Shade = (196.0,)
BRUSH_SHARE = 0.24


class Metal:
    """The layout comes from the seed: every tile of a run is the same product."""

    features = 5
    dark: Shade = (22.0,)
    light: Shade = (238.0,)

    def __init__(self, seed: int, height: int, width: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self._height, self._width = height, width
        self._side = min(height, width)
        inset = rng.uniform(0.15, 0.2)
        self._holes = [(x, y) for y in (inset, 1 - inset) for x in (inset, 1 - inset)]
        self._radius = rng.uniform(0.032, 0.045)
        self._slot = rng.uniform(0.62, 0.7)
        self._text = f"{rng.choice(list('ABCEHK'))}{rng.integers(10, 99)}-{rng.integers(100, 999)}"

    def artwork(self, change: ArtworkDefect | None = None) -> Pixels:
        canvas = np.full((self._height, self._width), BELT[0], np.uint8)
        patch(canvas, self._at(box(0.5, 0.5, 0.955, 0.955)), RIM)
        patch(canvas, self._at(box(0.5, 0.5, 0.93, 0.93)), BODY)
        missing = change.which if change and change.what == "missing" else None
        for number, (x, y) in enumerate(self._holes):
            if number != missing:
                self._drill(canvas, x, y)
        if missing != len(self._holes):
            self._mill(canvas)
        text = self._text
        if change and change.what == "misprint":
            text = misspelt(text, change.which % MISPRINTS, "0123456789ABCEHK")
        self._engrave(canvas, text)
        return canvas

    def grain(self, rng: np.random.Generator) -> Field:
        height, width = self._height, self._width
        # Brushing: noise drawn out along the direction of the brush, in two lengths.
        raw = noise(rng, height, width, 1.0)
        length = max(3, round(BRUSH_SHARE * width)) | 1
        long = cv2.blur(raw, (length, 1), borderType=cv2.BORDER_REFLECT)
        short = cv2.blur(raw, (max(3, length // 5) | 1, 1), borderType=cv2.BORDER_REFLECT)
        sheen = np.linspace(-1, 1, height, dtype=np.float32) - np.float32(rng.uniform(-0.5, 0.5))
        band = np.float32(0.16) * np.exp(-(sheen**2) / np.float32(0.3))
        shade = long * np.float32(0.34) + short * np.float32(0.12) + raw * np.float32(0.012)
        return np.asarray(
            np.float32(0.93) + shade + band[:, np.newaxis] + uneven(rng, height, width, 4, 0.03),
            np.float32,
        )

    def _at(self, points: np.ndarray) -> np.ndarray:
        return points * (self._width, self._height)

    def _drill(self, canvas: Pixels, x: float, y: float) -> None:
        radius = self._radius * self._side
        x, y = x * self._width, y * self._height
        disc(canvas, x, y, radius * 1.35, (126.0,))
        disc(canvas, x + radius * 0.12, y + radius * 0.12, radius * 1.2, RIM)
        disc(canvas, x, y, radius, HOLE)

    def _mill(self, canvas: Pixels) -> None:
        y = self._slot * self._height
        ends = np.array([[0.38 * self._width, y], [0.62 * self._width, y]])
        thick = max(3, round(0.045 * self._side))
        stroke(canvas, ends + 1, thick + 2, RIM)
        stroke(canvas, ends, thick, HOLE)

    def _engrave(self, canvas: Pixels, text: str) -> None:
        capitals = 0.075 * self._side
        place = (0.3 * self._width, 0.44 * self._height)
        lit = (place[0] + 1, place[1] + 1)
        weight = max(1, round(self._side / 170))
        lettering(canvas, text, lit, height=capitals, shade=RIM, weight=weight)
        lettering(canvas, text, place, height=capitals, shade=ENGRAVED, weight=weight)
