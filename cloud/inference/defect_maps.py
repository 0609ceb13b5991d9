"""Small pictures of what the tail saw and found. The cloud never has the part's own picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.contracts import TileShares
from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from shared.features.tiling import onto_whole

SIDE = 320
HEAT_FROM = 0.05


def map_png(
    defect_map: NDArray[np.float32],
    pixels: PixelSettings = AS_IT_IS,
    tile: TileShares | None = None,
) -> bytes:
    """A defect map, probabilities (height, width), as 8-bit grey PNG; NaN counts as 1.

    pixels   the bundle's: by them it is laid over the whole picture
    tile     of which it is; None: of the whole picture
    """
    sure = onto_whole(np.nan_to_num(defect_map, nan=1.0), pixels, tile)
    return _png(np.rint(np.clip(sure, 0, 1) * 255).astype(np.uint8))


def seen_png(
    symbols: NDArray[np.int8],
    pixels: PixelSettings = AS_IT_IS,
    tile: TileShares | None = None,
) -> bytes:
    """What the tail saw: mean absolute symbol over channels, stretched to 8-bit grey PNG.

    symbols   int8 (channels, height, width)
    pixels    the bundle's: by them it is laid over the whole picture, as the map is
    tile      of which they are; None: of the whole picture
    """
    strength = np.abs(symbols.astype(np.float32)).mean(axis=0)
    low, high = float(strength.min()), float(strength.max())
    strength = onto_whole(strength, pixels, tile)
    stretched = np.clip((strength - low) / max(high - low, 1e-6), 0, 1)
    return _png(np.rint(stretched * 255).astype(np.uint8))


def heat_map(found: bytes, seen: bytes) -> bytes:
    """Colour PNG, longest side SIDE: the defect map as heat over what the tail saw.

    found, seen   as `map_png` and `seen_png` made them
    """
    defect = _grey(found)
    height, width = defect.shape
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    below = cv2.resize(_grey(seen), size, interpolation=cv2.INTER_CUBIC)
    heat = cv2.resize(defect, size, interpolation=cv2.INTER_CUBIC)
    # Dimmed, so that the heat stands out from structure that is merely strong.
    base = cv2.cvtColor((below * 0.75 + 20).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    colours = cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO)
    strength = np.clip((heat.astype(np.float32) / 255 - HEAT_FROM) / 0.6, 0, 0.9)[..., np.newaxis]
    return _png((base * (1 - strength) + colours * strength).astype(np.uint8))


def _grey(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()
