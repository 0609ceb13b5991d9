"""What a bad lens, lamp, mount or sensor does to a picture. Pure: same picture and seed, same end.

Pictures are uint8, (h, w) grey or (h, w, 3) BGR; each function returns a new one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_DUST, _HOT, _SHAKE, _SCRATCH, _LAMP = 1, 2, 3, 7, 8
WHITE = 255


def exposed(pixels: Pixels, stops: float) -> Pixels:
    """Brighter (above 0) or darker by photographic stops; what is too bright is lost in white."""
    return _lit(pixels, np.float32(2.0**stops))


def strayed(pixels: Pixels, levels: float) -> Pixels:
    """Stray light lifts everything by so many grey levels of 255."""
    return np.asarray(np.rint(pixels + np.float32(levels)).clip(0, WHITE), np.uint8)


def bent(pixels: Pixels, gamma: float) -> Pixels:
    """Another response curve, black and white in place: above 1 darkens what lies between."""
    curve = WHITE * (np.arange(WHITE + 1) / WHITE) ** gamma
    return np.asarray(np.rint(curve).astype(np.uint8)[pixels])


def unevenly_lit(pixels: Pixels, falloff: float, seed: int) -> Pixels:
    """One side is darker by this share of its light (0–1), on an even slope to the other side.

    Which side is drawn from the seed: a lamp stands where it stands.
    """
    angle = float(np.random.default_rng([seed, _LAMP]).uniform(0, 2 * np.pi))
    rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in pixels.shape[:2])
    along = np.cos(angle) * columns + np.sin(angle) * rows[:, np.newaxis]
    place = (along - along.min()) / max(float(np.ptp(along)), 1e-6)
    return _lit(pixels, np.asarray(1 - falloff * place, np.float32))


def defocused(pixels: Pixels, radius_px: float) -> Pixels:
    """Each point becomes a disc of this radius, as with a lens out of focus."""
    reach = int(np.ceil(radius_px))
    if radius_px <= 0:
        return pixels.copy()
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    # Pixels on the rim count in part, so that the radius need not be whole.
    disc = np.clip(radius_px + 0.5 - np.hypot(rows, columns), 0, 1)
    return _filtered(pixels, disc)


def motion_blurred(pixels: Pixels, length_px: float) -> Pixels:
    """The part moved so far along the belt (the picture's width) while the shutter was open."""
    reach = int(np.ceil(length_px / 2))
    if length_px <= 0:
        return pixels.copy()
    line = np.clip(length_px / 2 + 0.5 - np.abs(np.arange(-reach, reach + 1)), 0, 1)
    return _filtered(pixels, line[np.newaxis])


def shaken(pixels: Pixels, amplitude_px: float, seed: int, part: int) -> Pixels:
    """The mount stands elsewhere for each part, up to this far in either direction."""
    rng = np.random.default_rng([seed, _SHAKE, part])
    shift = np.array([[1, 0, 0], [0, 1, 0]], np.float64)
    shift[:, 2] = rng.uniform(-amplitude_px, amplitude_px, 2)
    height, width = pixels.shape[:2]
    moved = cv2.warpAffine(pixels, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def displaced(
    pixels: Pixels, shift: tuple[float, float] = (0.0, 0.0), degrees: float = 0.0, scale: float = 1
) -> Pixels:
    """The part lies elsewhere: turned and scaled about the middle, then shifted.

    shift   to the right and down, px
    scale   above 1: nearer, and so larger
    What comes into view repeats the border.
    """
    height, width = pixels.shape[:2]
    turned = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    turned[:, 2] += np.array(shift)
    moved = cv2.warpAffine(pixels, turned, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def noisy(pixels: Pixels, white: float, read: float, seed: Sequence[int]) -> Pixels:
    """A sensor's noise by the linear model of EMVA 1288: shot noise of the light, and reading.

    white   electrons that a white pixel (255) holds; fewer are noisier
    read    standard deviation of reading, electrons
    Grey levels are taken for linear in light, and black for no electrons. Every channel is drawn
    for itself.
    """
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(pixels * (white / WHITE)) + rng.normal(0, read, pixels.shape)
    return np.asarray(np.rint(electrons * (WHITE / white)).clip(0, WHITE), np.uint8)


def scratched(pixels: Pixels, scratches: int, seed: int) -> Pixels:
    """Fine bright scratches on the window before the lens: at the same places in every picture."""
    rng = np.random.default_rng([seed, _SCRATCH])
    height, width = pixels.shape[:2]
    least = min(height, width)
    glow = np.zeros((height, width), np.uint8)
    for _ in range(scratches):
        x, y = rng.uniform(0, 1, 2)
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.08, 0.3) * least
        depth = float(rng.uniform(30, 90))
        across, down = length * np.cos(angle) / 2, length * np.sin(angle) / 2
        start = (round(x * width - across), round(y * height - down))
        end = (round(x * width + across), round(y * height + down))
        cv2.line(glow, start, end, (depth,), max(1, round(0.004 * least)), cv2.LINE_AA)
    soft = cv2.GaussianBlur(glow, (0, 0), 0.002 * least + 0.4).astype(np.float32)
    lifted = soft if pixels.ndim == 2 else soft[:, :, np.newaxis]
    return np.asarray(np.rint(pixels + lifted).clip(0, WHITE), np.uint8)


def dusty(pixels: Pixels, spots: int, seed: int) -> Pixels:
    """Soft dark spots on the lens: at the same places in every picture."""
    rng = np.random.default_rng([seed, _DUST])
    height, width = pixels.shape[:2]
    shadow = np.zeros((height, width), np.uint8)
    for _ in range(spots):
        x, y = rng.uniform(0, 1, 2)
        radius = rng.uniform(0.008, 0.03) * min(height, width)
        depth = float(rng.uniform(60, 170))
        centre = (round(x * width), round(y * height))
        cv2.circle(shadow, centre, max(1, round(radius)), (depth,), -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(shadow, (0, 0), 0.008 * min(height, width) + 0.5)
    shade = 1 - soft.astype(np.float32) / 255
    return _lit(pixels, np.asarray(shade, np.float32))


def with_hot_pixels(pixels: Pixels, count: int, seed: int) -> Pixels:
    """So many single pixels are stuck at white, always the same ones."""
    rng = np.random.default_rng([seed, _HOT])
    height, width = pixels.shape[:2]
    places = rng.choice(height * width, min(count, height * width), replace=False)
    stuck = pixels.copy()
    stuck[places // width, places % width] = 255
    return stuck


def flickered(pixels: Pixels, depth: float, hz: float, at: float) -> Pixels:
    """Lamps on the mains: darker by up to `depth` (0–1), as the lamp stands at second `at`."""
    return _lit(pixels, np.float32(1 - depth * (0.5 - 0.5 * np.cos(2 * np.pi * hz * at))))


def _lit(pixels: Pixels, factor: np.float32 | NDArray[np.float32]) -> Pixels:
    if isinstance(factor, np.ndarray) and pixels.ndim == 3:
        factor = factor[:, :, np.newaxis]
    return np.asarray(np.rint(pixels * factor).clip(0, 255), np.uint8)


def _filtered(pixels: Pixels, kernel: NDArray[np.floating]) -> Pixels:
    spread = kernel / kernel.sum()
    return np.asarray(cv2.filter2D(pixels, -1, spread, borderType=cv2.BORDER_REPLICATE), np.uint8)
