"""Pictures and data sets to train on, made on the spot."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Sample, Split

Pixels = NDArray[np.uint8]


def part(seed: int, *, defective: bool = False, size: int = 64) -> Pixels:
    """A shaded, grainy part that looks like no other; a dark blot where it is defective."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    a, b, c = rng.uniform(0.5, 3, 3)
    picture = 140 + 40 * np.sin(6 * (a * x + b * y + c)) + rng.normal(0, 8, (size, size))
    if defective:
        across, down = rng.uniform(0.25, 0.75, 2)
        picture -= 120 * np.exp(-((x - across) ** 2 + (y - down) ** 2) / 0.01)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def good_and_bad(root: Path, good: int, bad: int) -> Path:
    """The folders `good` and `blot`."""
    for number in range(good):
        save(root / "good" / f"{number:03}.png", part(number))
    for number in range(bad):
        save(root / "blot" / f"{number:03}.png", part(1000 + number, defective=True))
    return root


def sample(image: Path, *, part: str, split: Split = "train", target: float = 0.0) -> Sample:
    return Sample(image, None, "blot" if target > 0.5 else "good", target, part, "all", split)
