"""Parts with exact ground truth, each from the run's seed and its own number alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from hardware_sim.line.drawing import spread
from hardware_sim.line.drawing.circuit import Circuit
from hardware_sim.line.drawing.cloth import Cloth
from hardware_sim.line.drawing.defects import DefectKind, lay, paint, severity
from hardware_sim.line.drawing.metal import Metal
from hardware_sim.line.drawing.spread import Constant, LogNormal, Normal, Spread
from hardware_sim.line.drawing.surface import MISPRINTS, ArtworkDefect, Pixels, Surface, SurfaceName
from shared.settings import Settings

GOOD = "good"
PLACES_TRIED = 8
LOT = 50
"""Parts that share one rate of defects: real defects come in bunches."""
_SURFACES: dict[SurfaceName, Callable[[int, int, int], Surface]] = {
    "metal": Metal,
    "circuit": Circuit,
    "cloth": Cloth,
}
_GRAIN, _DEFECT, _RATE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class DrawnPart:
    """One part as it lies under the camera, and the truth about it.

    number    on its line, from 1
    pixels    uint8, (h, w) grey or (h, w, 3) BGR
    mask      bool (h, w), true where the part differs from what it should be
    defect    its kind; `good` where there is none
    severity  0–1 as in `drawing.defects.severity`; 0 for a good part, and 1 for a defective one
              of a data set that tells no extent
    seed      of the run that it belongs to
    source    where the picture comes from, for people
    """

    number: int
    pixels: Pixels
    mask: NDArray[np.bool_]
    defect: str
    severity: float
    seed: int
    source: str = ""

    @property
    def defective(self) -> bool:
        return self.defect != GOOD


class PartSource(Protocol):
    """Where a line's parts come from.

    count   parts that it has, None where there is no end
    """

    @property
    def count(self) -> int | None: ...

    def part(self, number: int, *, rate: float | None = None) -> DrawnPart:
        """Part `number`, from 1: the same each time, whatever was asked for before.

        rate   share of defective parts, 0–1, instead of the source's own
        """


class DefectSettings(Settings):
    """Which defects come, how often, how large and how plain."""

    rate: Spread = Field(
        default=Constant(value=0.1), description=f"share of defective parts, a lot of {LOT}"
    )
    weights: dict[DefectKind, float] = Field(
        default={
            "scratch": 1.0, "crack": 1.0, "pit": 1.0, "stain": 1.0,
            "missing_feature": 0.5, "wrong_print": 0.5,
        },
        description="how often each kind comes, compared with the others",
    )  # fmt: skip
    size: Spread = Field(
        default=LogNormal(median=1.0, sigma=0.35, low=0.3, high=3.0),
        description="1: ordinary for its kind; features and prints have the size they have",
    )
    contrast: Spread = Field(
        default=Normal(mean=0.65, deviation=0.2, low=0.15, high=1.0),
        description="share of the way from the surface's shade to the defect's",
    )

    @field_validator("rate", "contrast")
    @classmethod
    def _is_share(cls, value: Spread) -> Spread:
        spread.within(value, 0.0, 1.0)
        return value

    @field_validator("size")
    @classmethod
    def _is_drawable(cls, value: Spread) -> Spread:
        spread.within(value, 0.1, 4.0)
        return value

    @field_validator("weights")
    @classmethod
    def _has_one(cls, weights: dict[DefectKind, float]) -> dict[DefectKind, float]:
        if not weights or min(weights.values()) < 0 or not 0 < sum(weights.values()) < np.inf:
            raise ValueError("needs at least one weight above 0 and none below")
        return weights


class DrawingSettings(Settings):
    """What is drawn on the parts of a line."""

    surface: SurfaceName = Field(default="metal", description="what the parts are made of")
    height: int = Field(default=256, ge=64, le=2048, description="of the picture, px")
    width: int = Field(default=256, ge=64, le=2048, description="of the picture, px")
    defects: DefectSettings = DefectSettings()


class DrawnParts:
    """Draws part after part, without end. The layout of the product comes from the seed."""

    count = None

    def __init__(self, settings: DrawingSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._surface = _SURFACES[settings.surface](seed, settings.height, settings.width)
        self._artwork = lru_cache(maxsize=4 * MISPRINTS)(self._surface.artwork)

    def part(self, number: int, *, rate: float | None = None) -> DrawnPart:
        rng = np.random.default_rng([self._seed, _DEFECT, number])
        defective = rng.random() < (self._rate_of(number) if rate is None else rate)
        blank = self._blank(number)
        clean = blank.finish(self._artwork())
        if defective:
            kind = self._kind(rng)
            for _ in range(PLACES_TRIED):
                pixels, mask = self._spoilt(kind, rng, blank, clean)
                # A dark crack in a dark hole is none: it is drawn again at another place.
                if not np.array_equal(pixels, clean):
                    return self._part(number, pixels, mask, kind, _severity(clean, pixels, mask))
        return self._part(number, clean, np.zeros(clean.shape[:2], np.bool_), GOOD, 0.0)

    def _part(
        self, number: int, pixels: Pixels, mask: NDArray[np.bool_], defect: str, severe: float
    ) -> DrawnPart:
        source = f"{self._settings.surface} {number}"
        return DrawnPart(number, pixels, mask, defect, severe, self._seed, source)

    def _rate_of(self, number: int) -> float:
        rng = np.random.default_rng([self._seed, _RATE, (number - 1) // LOT])
        return self._settings.defects.rate.draw(rng)

    def _kind(self, rng: np.random.Generator) -> DefectKind:
        weights = self._settings.defects.weights
        share = np.array(list(weights.values()))
        return list(weights)[int(rng.choice(len(share), p=share / share.sum()))]

    def _blank(self, number: int) -> _Blank:
        rng = np.random.default_rng([self._seed, _GRAIN, number])
        height, width = self._settings.height, self._settings.width
        shift = rng.normal(0, 0.004, 2) * (width, height)
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 0.35)), 1.0)
        pose = np.asarray(turn, np.float64)
        pose[:, 2] += shift
        return _Blank(pose, self._surface.grain(rng))

    def _spoilt(
        self, kind: DefectKind, rng: np.random.Generator, blank: _Blank, clean: Pixels
    ) -> tuple[Pixels, NDArray[np.bool_]]:
        size = self._settings.defects.size.draw(rng)
        contrast = self._settings.defects.contrast.draw(rng)
        match kind:
            case "missing_feature":
                change = ArtworkDefect("missing", int(rng.integers(self._surface.features)))
            case "wrong_print":
                change = ArtworkDefect("misprint", int(rng.integers(MISPRINTS)))
            case _:
                drawn = paint(kind, rng, clean.shape[0], clean.shape[1], size)
                return lay(clean, drawn, contrast, self._surface.dark, self._surface.light)
        return _altered(clean, blank.finish(self._artwork(change)), contrast)


@dataclass(frozen=True, slots=True)
class _Blank:
    """How one piece lies and what its material looks like, whatever is printed on it."""

    pose: NDArray[np.float64]
    grain: NDArray[np.float32]

    def finish(self, artwork: Pixels) -> Pixels:
        height, width = artwork.shape[:2]
        placed = cv2.warpAffine(
            artwork, self.pose, (width, height), borderMode=cv2.BORDER_REPLICATE
        )  # fmt: skip
        grain = self.grain if artwork.ndim == 2 else self.grain[:, :, np.newaxis]
        return np.asarray(np.rint(placed * grain).clip(0, 255), np.uint8)


def _altered(clean: Pixels, other: Pixels, contrast: float) -> tuple[Pixels, NDArray[np.bool_]]:
    """The clean part with what differs in the other blended in, and where that is."""
    difference = other.astype(np.int16) - clean
    reach = np.abs(difference) if clean.ndim == 2 else np.abs(difference).max(axis=2)
    differs = np.asarray(reach > 0, np.uint8)
    whole = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    mask = np.asarray((whole > 0) | (differs > 0), np.bool_)
    blended = np.rint(clean + difference * np.float32(contrast)).clip(0, 255)
    return np.asarray(blended, np.uint8), mask


def _severity(clean: Pixels, pixels: Pixels, mask: NDArray[np.bool_]) -> float:
    change = np.abs(pixels[mask].astype(np.int16) - clean[mask])
    return severity(float(mask.mean()), float(change.mean()) / 255)
