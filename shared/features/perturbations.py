"""What can go wrong before a camera's picture is seen: kinds at three strengths, with their units.

All are done to the picture as the camera gave it, before it is prepared for the network.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shared.features import optics
from shared.features.image_codecs import compress, decompress
from shared.features.optics import Pixels

READ_NOISE = 10.0
"""Electrons, as of an industrial CMOS sensor; the light's own noise is what varies."""

_SHIFT, _ROTATION, _SCALE, _NOISE = range(4)


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A picture to be disturbed.

    seed   of every draw. What a plant has once (lamp, lens) is drawn from it alone; what differs
           from part to part, from it and the picture's own bytes, so that neither the order nor
           the number of the pictures changes anything
    """

    pixels: Pixels
    seed: int

    @property
    def side(self) -> int:
        """The shorter side, px: lengths are shares of it, so that they fit any camera."""
        height, width = self.pixels.shape[:2]
        return int(min(height, width))

    def own_seed(self, kind: int) -> tuple[int, int, int]:
        return self.seed, kind, zlib.crc32(self.pixels.tobytes())

    def draws(self, kind: int) -> np.random.Generator:
        return np.random.default_rng(self.own_seed(kind))


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One kind of disturbance.

    unit      of `amounts`, which stand mildest first
    disturb   picture and amount → another picture of the same shape, uint8
    """

    name: str
    unit: str
    amounts: tuple[float, float, float]
    disturb: Callable[[Disturbed, float], Pixels]

    def on(self, pixels: Pixels, strength: int, seed: int) -> Pixels:
        """strength: 1 to 3; 0 is the picture as it is."""
        if strength == 0:
            return pixels
        return self.disturb(Disturbed(pixels, seed), self.amounts[strength - 1])


def _exposed(picture: Disturbed, stops: float) -> Pixels:
    return optics.exposed(picture.pixels, stops)


def _strayed(picture: Disturbed, levels: float) -> Pixels:
    return optics.strayed(picture.pixels, levels)


def _bent(picture: Disturbed, gamma: float) -> Pixels:
    return optics.bent(picture.pixels, gamma)


def _unevenly_lit(picture: Disturbed, share: float) -> Pixels:
    return optics.unevenly_lit(picture.pixels, share / 100, picture.seed)


def _defocused(picture: Disturbed, share: float) -> Pixels:
    return optics.defocused(picture.pixels, picture.side * share / 100)


def _motion_blurred(picture: Disturbed, share: float) -> Pixels:
    return optics.motion_blurred(picture.pixels, picture.side * share / 100)


def _noisy(picture: Disturbed, electrons: float) -> Pixels:
    return optics.noisy(picture.pixels, electrons, READ_NOISE, picture.own_seed(_NOISE))


def _compressed(picture: Disturbed, quality: float) -> Pixels:
    pixels = picture.pixels
    return decompress(compress(pixels, round(quality)), 1 if pixels.ndim == 2 else 3)


def _shifted(picture: Disturbed, share: float) -> Pixels:
    angle = picture.draws(_SHIFT).uniform(0, 2 * np.pi)
    far = picture.side * share / 100
    return optics.displaced(picture.pixels, (far * np.cos(angle), far * np.sin(angle)))


def _rotated(picture: Disturbed, degrees: float) -> Pixels:
    return optics.displaced(picture.pixels, degrees=_either_way(picture, _ROTATION) * degrees)


def _scaled(picture: Disturbed, share: float) -> Pixels:
    larger = 1 + share / 100
    scale = larger if _either_way(picture, _SCALE) > 0 else 1 / larger
    return optics.displaced(picture.pixels, scale=scale)


def _specked(picture: Disturbed, specks: float) -> Pixels:
    """Four in five are dust, the others scratches."""
    scratches = round(specks / 5)
    dusty = optics.dusty(picture.pixels, round(specks) - scratches, picture.seed)
    return optics.scratched(dusty, scratches, picture.seed)


def _either_way(picture: Disturbed, kind: int) -> int:
    return 1 if picture.draws(kind).random() < 0.5 else -1


PERTURBATIONS = (
    Perturbation("darker", "stops", (-0.25, -0.5, -1), _exposed),
    Perturbation("brighter", "stops", (0.25, 0.5, 1), _exposed),
    Perturbation("stray light", "grey levels of 255", (8, 16, 32), _strayed),
    Perturbation("response curve", "gamma", (1.2, 1.5, 2), _bent),
    Perturbation("uneven light", "% less on one side", (15, 30, 60), _unevenly_lit),
    Perturbation("out of focus", "% of the side, radius", (0.3, 0.7, 1.5), _defocused),
    Perturbation("motion blur", "% of the side", (1, 2, 4), _motion_blurred),
    Perturbation("noise", "electrons at white", (4000, 1000, 250), _noisy),
    Perturbation("JPEG", "quality", (70, 40, 15), _compressed),
    Perturbation("shift", "% of the side", (1, 3, 6), _shifted),
    Perturbation("rotation", "degrees", (1, 3, 6), _rotated),
    Perturbation("scale", "%", (2, 5, 10), _scaled),
    Perturbation("specks", "on the lens", (2, 5, 15), _specked),
)
