"""A printed circuit: traces, pads, vias, a chip's footprint and white lettering. Colour."""

from __future__ import annotations

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

MASK: Shade = (62.0, 92.0, 24.0)
TRACE: Shade = (84.0, 134.0, 44.0)
GOLD: Shade = (98.0, 178.0, 208.0)
DRILL: Shade = (26.0, 30.0, 28.0)
SILK: Shade = (226.0, 232.0, 228.0)
LINES = 9
PINS = 6


class Circuit:
    """The layout comes from the seed: every board of a run is the same product."""

    features = 2 * LINES + 2 * PINS
    dark: Shade = (18.0, 26.0, 16.0)
    light: Shade = (150.0, 196.0, 214.0)

    def __init__(self, seed: int, height: int, width: int) -> None:
        rng = np.random.default_rng([seed, 2])
        self._height, self._width = height, width
        self._side = min(height, width)
        # Lines run from the left edge's pads to the right one's, with one jog of 45° each.
        lanes = np.linspace(0.52, 0.92, LINES)
        self._from = lanes
        self._to = lanes - rng.uniform(0.05, 0.09)
        self._jog = np.linspace(0.34, 0.6, LINES) + rng.uniform(-0.02, 0.02)
        self._vias = rng.uniform((0.66, 0.1), (0.9, 0.4), (4, 2))
        self._chip = (rng.uniform(0.3, 0.38), rng.uniform(0.24, 0.28))
        self._text = f"U{rng.integers(2, 9)} R{rng.integers(10, 99)}"

    def artwork(self, change: ArtworkDefect | None = None) -> Pixels:
        canvas = np.empty((self._height, self._width, 3), np.uint8)
        canvas[:] = np.array(MASK, np.uint8)
        missing = change.which if change and change.what == "missing" else None
        for line in range(LINES):
            self._route(canvas, line, missing)
        for x, y in self._vias:
            self._ring(canvas, x, y, 0.016)
        self._footprint(canvas, missing)
        text = self._text
        if change and change.what == "misprint":
            text = misspelt(text, change.which % MISPRINTS, "0123456789RUCL")
        weight = max(1, round(self._side / 200))
        place = (0.6 * self._width, 0.48 * self._height)
        lettering(canvas, text, place, height=0.055 * self._side, shade=SILK, weight=weight)
        return canvas

    def grain(self, rng: np.random.Generator) -> Field:
        height, width = self._height, self._width
        left, right = (float(end) for end in rng.uniform(0.92, 1.08, 2))
        light = np.linspace(left, right, width, dtype=np.float32)
        fibre = noise(rng, height, width, 0.025)
        return np.asarray(light + fibre + uneven(rng, height, width, 5, 0.025), np.float32)

    def _route(self, canvas: Pixels, line: int, missing: int | None) -> None:
        """A trace and its two ends; the trace lacks a piece where it is feature `line`."""
        start, end, jog = self._from[line], self._to[line], self._jog[line]
        corner = jog + (start - end) * self._height / self._width
        path = np.array([[0.06, start], [jog, start], [corner, end], [0.94, end]])
        points = path * (self._width, self._height)
        thick = max(1, round(0.011 * self._side))
        if missing == line:
            # An open: etched away between the jog and a third of the way to the right pad.
            gap = points[2] + (points[3] - points[2]) * 0.3
            stroke(canvas, points[:3], thick, TRACE)
            stroke(canvas, np.array([gap, points[3]]), thick, TRACE)
        else:
            stroke(canvas, points, thick, TRACE)
        self._ring(canvas, 0.06, start, 0.017)
        if missing != LINES + line:
            self._ring(canvas, 0.94, end, 0.017)

    def _ring(self, canvas: Pixels, x: float, y: float, radius: float) -> None:
        x, y, radius = x * self._width, y * self._height, radius * self._side
        disc(canvas, x, y, radius, GOLD)
        disc(canvas, x, y, radius * 0.45, DRILL)

    def _footprint(self, canvas: Pixels, missing: int | None) -> None:
        x, y = self._chip
        size = np.array((self._width, self._height))
        outline = box(x, y, 0.2, 0.3)
        closed = np.vstack([outline, outline[:1]])
        stroke(canvas, closed * size, max(1, round(self._side / 250)), SILK)
        disc(canvas, (x - 0.07) * self._width, (y - 0.12) * self._height, 0.01 * self._side, SILK)
        for pin in range(2 * PINS):
            if missing == 2 * LINES + pin:
                continue
            sign = 1 if pin % 2 else -1
            row = y + (pin // 2 - (PINS - 1) / 2) * 0.045
            lead = np.array([[x + sign * 0.13, row], [x + sign * 0.19, row]])
            stroke(canvas, lead * size, max(1, round(0.011 * self._side)), TRACE)
            patch(canvas, box(x + sign * 0.13, row, 0.05, 0.024) * size, GOLD)
