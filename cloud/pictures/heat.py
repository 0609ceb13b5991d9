"""A defect map as something to lay over a picture: clear where nothing is suspected."""

from __future__ import annotations

import cv2
import numpy as np

from shared.features.picture_file import decoded

SIDE = 320
FROM, FULL = 0.05, 0.6
STRONGEST = 0.85


def overlay(found: bytes) -> bytes:
    """PNG with an alpha channel, longest side SIDE: hot and opaque where a defect is surely.

    found   a map as 8-bit grey PNG, 255 = surely defective
    """
    grey = decoded(found, cv2.IMREAD_GRAYSCALE)
    height, width = grey.shape
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    heat = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
    colours = cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO)
    strength = np.clip((heat.astype(np.float32) / 255 - FROM) / FULL, 0, STRONGEST)
    alpha = np.rint(strength * 255).astype(np.uint8)
    return cv2.imencode(".png", np.dstack([colours, alpha]))[1].tobytes()
