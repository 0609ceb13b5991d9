"""What a surface is to the parts drawn on it: a product's artwork, and each piece's own grain."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.painting.strokes import Shade

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]

SurfaceName = Literal["metal", "circuit", "cloth"]
MISPRINTS = 8
"""Wrong prints that a surface knows; more would only cost memory."""


class ArtworkDefect(NamedTuple):
    """What is wrong with the artwork: feature `which` is missing, or print `which` is wrong."""

    what: Literal["missing", "misprint"]
    which: int


class Surface(Protocol):
    """One product on one material.

    features     how many features its artwork has that can be missing
    dark, light  the shades, one value a channel, between which painted defects lie
    """

    features: int
    dark: Shade
    light: Shade

    def artwork(self, change: ArtworkDefect | None = None) -> Pixels:
        """The product as designed, uint8 (h, w) or (h, w, 3) BGR."""

    def grain(self, rng: np.random.Generator) -> Field:
        """This piece's own texture and light as a factor around 1, float32 (h, w)."""


def uneven(rng: np.random.Generator, height: int, width: int, cells: int, depth: float) -> Field:
    """Smooth unevenness: float32 (h, w) around 0, about ± `depth`, `cells` bumps a side."""
    coarse = rng.normal(0.0, depth, (cells, cells)).astype(np.float32)
    full = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(full, np.float32)


def noise(rng: np.random.Generator, height: int, width: int, depth: float) -> Field:
    """Independent noise a pixel: float32 (h, w), standard deviation `depth`."""
    return rng.standard_normal((height, width), np.float32) * np.float32(depth)


def box(x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
    """The corners (4, 2) of an upright rectangle around (x, y)."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, height / 2)
    return np.asarray(half + np.array([x, y]), np.float64)


def lettering(
    canvas: Pixels,
    text: str,
    at: tuple[float, float],
    *,
    height: float,
    shade: Shade,
    weight: int = 1,
) -> None:
    """Text whose baseline starts at `at` (x, y); `height` of its capitals, px."""
    scale = height / 21.0  # Hershey's simplex capitals are 21 px high at scale 1
    place = (round(at[0]), round(at[1]))
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, shade, weight, cv2.LINE_AA)


def misspelt(text: str, which: int, alphabet: str) -> str:
    """`text` with one or two characters exchanged, the same for the same `which`."""
    rng = np.random.default_rng([which, len(text)])
    letters = list(text)
    places = [n for n, letter in enumerate(letters) if letter in alphabet]
    for place in rng.permutation(places)[: 1 + which % 2]:
        others = [letter for letter in alphabet if letter != letters[place]]
        letters[place] = others[int(rng.integers(len(others)))]
    return "".join(letters)
