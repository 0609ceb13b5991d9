"""Brightness, sharpness and noise of a picture, from a sample of it that is cheap to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

SAMPLES = 64
CROP = 96
# Immerkær, Fast noise variance estimation (1996): the difference of two Laplacians, which sees
# neither edges nor slopes. Over 6 for one standard deviation of what it makes of pure noise, and
# the mean of the absolute value times √(π/2) is that deviation.
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_DEVIATION = math.sqrt(math.pi / 2) / 6


@dataclass(frozen=True, slots=True)
class PictureMeasurement:
    """What a picture is like, whatever is on it.

    brightness   mean grey level, 0–255, of every so many-th pixel
    sharpness    variance of the Laplacian in the middle (Pech-Pacheco and others 2000)
    noise        standard deviation of the sensor's noise in the middle, grey levels
    """

    brightness: float
    sharpness: float
    noise: float


def measure(pixels: Any) -> PictureMeasurement:
    """pixels: uint8, (height, width) or (height, width, 3) BGR

    Takes 30 to 100 µs of one core, whatever the size.
    """
    height, width = pixels.shape[:2]
    # Odd strides: even ones meet only half of what alternates.
    down, right = max(1, height // SAMPLES) | 1, max(1, width // SAMPLES) | 1
    brightness = float(np.mean(pixels[::down, ::right]))
    top, left = max(0, (height - CROP) // 2), max(0, (width - CROP) // 2)
    middle = pixels[top : top + CROP, left : left + CROP]
    grey = middle if middle.ndim == 2 else middle[:, :, 1]
    if min(grey.shape) < 3:
        return PictureMeasurement(brightness, 0.0, 0.0)
    # The outermost pixels have no neighbours: what is put there for them is no picture.
    edges = cv2.Laplacian(grey, cv2.CV_16S)[1:-1, 1:-1]
    _, deviation = cv2.meanStdDev(edges)
    left_over = cv2.filter2D(grey, cv2.CV_16S, _NOISE)[1:-1, 1:-1]
    noise = cv2.norm(left_over, cv2.NORM_L1) / left_over.size * _DEVIATION
    return PictureMeasurement(brightness, float(deviation[0, 0]) ** 2, float(noise))
