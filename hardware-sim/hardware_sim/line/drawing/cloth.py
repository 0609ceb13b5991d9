"""Woven cloth with a printed motif: plain weave, thread by thread. Grey."""

from __future__ import annotations

import cv2
import numpy as np

from hardware_sim.line.drawing.surface import (
    MISPRINTS,
    ArtworkDefect,
    Field,
    Pixels,
    box,
    noise,
    uneven,
)
from shared.painting.strokes import Shade, patch

THREADS = 44
INK = 0.62
MOTIFS = 4


class Cloth:
    """The layout comes from the seed: every piece of a run is the same product."""

    features = 2 * (THREADS - 8)
    dark: Shade = (24.0,)
    light: Shade = (236.0,)

    def __init__(self, seed: int, height: int, width: int) -> None:
        rng = np.random.default_rng([seed, 3])
        self._height, self._width = height, width
        self._angle = rng.uniform(0, np.pi / 2)
        self._shade = rng.uniform(172, 200)

    def artwork(self, change: ArtworkDefect | None = None) -> Pixels:
        missing = change.which if change and change.what == "missing" else None
        weave = self._weave(missing) * self._ink(change)
        return np.asarray(np.clip(weave * self._shade, 0, 255), np.uint8)

    def grain(self, rng: np.random.Generator) -> Field:
        height, width = self._height, self._width
        # Yarn is never even: every thread has its own shade, and slubs along its length.
        warp = uneven_threads(rng, width)[np.newaxis, :]
        weft = uneven_threads(rng, height)[:, np.newaxis]
        fibre = cv2.GaussianBlur(noise(rng, height, width, 0.11), (3, 3), 0.8)
        folds = uneven(rng, height, width, 3, 0.04)
        return np.asarray(np.float32(1.0) + warp + weft + fibre + folds, np.float32)

    def _weave(self, missing: int | None) -> Field:
        """Brightness 0–1 of a plain weave; threads are round, and pass over and under."""
        column = _phase(self._width)
        row = _phase(self._height)
        across, along = np.meshgrid(column, row)
        over = (np.floor(across) + np.floor(along)) % 2 == 0
        warp = np.sin(np.pi * (across % 1)) ** 0.6 * (0.8 + 0.2 * np.sin(np.pi * (along % 1)))
        weft = np.sin(np.pi * (along % 1)) ** 0.6 * (0.8 + 0.2 * np.sin(np.pi * (across % 1)))
        top = np.where(over, warp, weft * 0.94)
        if missing is not None:
            # Where a thread is gone, only the crossing one is left, sagging: darker.
            thread, of_warp = 4 + missing // 2, missing % 2 == 0
            gone = np.floor(across if of_warp else along) == thread
            left = (weft if of_warp else warp) * 0.55
            top = np.where(gone, left, top)
        return np.asarray(0.3 + 0.7 * top, np.float32)

    def _ink(self, change: ArtworkDefect | None) -> Field:
        """A factor: a grid of printed diamonds, one of which a misprint turns, moves or blots."""
        layer = np.zeros((self._height, self._width), np.uint8)
        wrong = change.which if change and change.what == "misprint" else None
        for number in range(MOTIFS * MOTIFS):
            row, column = divmod(number, MOTIFS)
            centre = np.array([(column + 0.5) / MOTIFS, (row + 0.5) / MOTIFS])
            spoilt = wrong is not None and number == 5 * (wrong % 2) + 5
            self._motif(layer, centre, wrong % MISPRINTS // 2 if spoilt and wrong else None)
        share = layer.astype(np.float32) / np.float32(255)
        return np.asarray(1 - (1 - INK) * share, np.float32)

    def _motif(self, layer: Pixels, centre: np.ndarray, fault: int | None) -> None:
        turn = np.pi / 4 + (0.5 if fault == 0 else 0.0)
        shift = (0.03, 0.02) if fault == 1 else (0.0, 0.0)
        size = 0.11 if fault == 2 else 0.075
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        for scale, shade in ((1.0, 255.0), (0.45, 255.0 if fault == 3 else 0.0)):
            corners = box(0, 0, size * scale, size * scale) @ matrix.T + centre + shift
            patch(layer, corners * (self._width, self._height), (shade,))


def uneven_threads(rng: np.random.Generator, length: int) -> Field:
    """One offset a pixel across the threads: the same within a thread, float32 (length,)."""
    shades = rng.normal(0, 0.035, THREADS + 1).astype(np.float32)
    return np.asarray(shades[np.floor(_phase(length)).astype(np.intp)], np.float32)


def _phase(length: int) -> np.ndarray:
    """Each pixel's place in threads: 3.5 is the middle of the fourth."""
    return (np.arange(length) + 0.5) * THREADS / length
