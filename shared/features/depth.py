"""Pixels of any depth → 8 bits, by what the bundle says of them and by nothing else."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.features.pixel_settings import PixelSettings

_WANTED = "wanted is uint8, height × width or height × width × 3"
# Whoever has 16 bits uses the upper two of them now and then; who has 14 never does.
_SIXTEEN = 1 << 14
_MOSAICS = {
    "rg": cv2.COLOR_BayerRGGB2BGR,
    "gr": cv2.COLOR_BayerGRBG2BGR,
    "bg": cv2.COLOR_BayerBGGR2BGR,
    "gb": cv2.COLOR_BayerGBRG2BGR,
}
# Interpolation leaves what is a little less than nothing, and lamps are more than white.
_BELOW, _ABOVE = -0.01, 2.0


class WrongPixels(ValueError):
    """Pixels that the settings do not fit; its text says what came and what was wanted."""


def eight_bit(pixels: NDArray[Any], settings: PixelSettings) -> NDArray[np.uint8]:
    """uint8 (height, width) grey or (height, width, 3) BGR.

    pixels   bool, whole numbers or floats, (height, width), (height, width, 1) or
             (height, width, 3) BGR
    Raises WrongPixels for another shape or depth, negative values, and what is not a number.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if not fits or not pixels.size:
        raise WrongPixels(f"a picture of {described(pixels)}; {_WANTED}")
    scaled = _scaled(pixels, settings)
    if settings.bayer == "none":
        return scaled
    if scaled.ndim == 3:
        raise WrongPixels(
            f"a picture of {described(pixels)}; wanted is a raw mosaic, height × width"
        )
    return np.asarray(cv2.cvtColor(scaled, _MOSAICS[settings.bayer]), np.uint8)


def described(pixels: NDArray[Any]) -> str:
    """Say `uint16, 48 × 64`."""
    return f"{pixels.dtype}, {' × '.join(map(str, pixels.shape)) or 'no size'}"


def _scaled(pixels: NDArray[Any], settings: PixelSettings) -> NDArray[np.uint8]:
    depth, kind = settings.depth, pixels.dtype.kind
    eight = pixels.dtype == np.uint8 or kind == "b"
    if eight and depth in {"auto", 8}:
        return pixels if kind == "u" else pixels.astype(np.uint8) * 255
    if kind == "f" and depth == "float":
        return _of_floats(pixels, settings.white or 1.0)
    if eight or kind not in "ui" or depth == "float":
        raise WrongPixels(f"a picture of {described(pixels)}; {_wanted(settings)}")
    return _of_whole(pixels, settings)


def _of_whole(pixels: NDArray[np.integer], settings: PixelSettings) -> NDArray[np.uint8]:
    least, most = int(pixels.min()), int(pixels.max())
    if least < 0:
        raise WrongPixels(f"a picture of {described(pixels)} with the value {least}")
    if settings.depth == "auto":
        if not _SIXTEEN <= most < 1 << 16:
            raise WrongPixels(
                f"a picture of {described(pixels)}; {_WANTED}: the bundle does not say how deep "
                f"its pictures are, and values up to {most} may be any depth"
            )
        return np.asarray(pixels >> 8, np.uint8)
    white = (1 << int(settings.depth)) - 1
    if most > white:
        raise WrongPixels(
            f"a picture of {described(pixels)} with the value {most}; {_wanted(settings)}, at "
            f"most {white}"
        )
    # No value lies half-way between two grey levels at any depth: every machine rounds alike.
    return np.asarray(cv2.convertScaleAbs(pixels.astype(np.uint16, copy=False), alpha=255 / white))


def _of_floats(pixels: NDArray[np.floating], white: float) -> NDArray[np.uint8]:
    least, most = float(pixels.min()), float(pixels.max())
    if not (_BELOW * white <= least and most <= _ABOVE * white):
        raise WrongPixels(
            f"a picture of {described(pixels)} with values from {least:.6g} to {most:.6g}; wanted "
            f"are 0 to {white:.6g}"
        )
    shares = np.clip(pixels.astype(np.float32) / np.float32(white), 0, 1)
    return np.asarray(np.rint(shares * 255), np.uint8)


def _wanted(settings: PixelSettings) -> str:
    if settings.depth == "auto":
        return _WANTED
    if settings.depth == "float":
        return f"wanted are floats from 0 to {settings.white or 1.0:.6g}"
    return f"wanted are whole numbers of {settings.depth} bits"
