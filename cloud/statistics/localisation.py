"""How well defect maps find the defect itself, at the size of each mask. numpy in, numbers out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

MOST_FALSE = 0.3
BINS = 1 << 14
# Log-odds of a probability: beyond ±16 all are equally sure.
SUREST = 16.0


class Localisation(msgspec.Struct, frozen=True):
    """How well a map ranks pixels, each map enlarged bilinearly to its mask's own size.

    pixel_auroc  how often a defective pixel lies above a good one; good parts' pixels count
    pro          per-region overlap, averaged over false positive rates up to 0.3; 0–1
                 (Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 2021)
    regions      connected defective regions; each counts alike in `pro`, large or small
    """

    pixel_auroc: float
    pro: float
    pictures: int
    regions: int


@dataclass(frozen=True, slots=True)
class MarkedMap:
    """A defect map beside the truth.

    found  probabilities, float32 (h, w), of any size
    mask   bool (height, width): defective pixels
    """

    found: NDArray[np.float32]
    mask: NDArray[np.bool_]


class _Counts:
    """Pixels by how defective the map calls them: histograms, so that a set of any size fits.

    The bins are finer than an int8 map's own steps; pixels in one bin count as ties.
    """

    def __init__(self) -> None:
        self.good = np.zeros(BINS, np.float64)
        self.defective = np.zeros(BINS, np.float64)
        self.overlap = np.zeros(BINS, np.float64)
        self.pictures = self.regions = 0

    def add(self, marked: MarkedMap) -> None:
        height, width = marked.mask.shape
        called = enlarge(marked.found, height, width)
        bins = _bins(called)
        self.pictures += 1
        self.good += np.bincount(bins[~marked.mask], minlength=BINS)
        if not marked.mask.any():
            return
        count, regions = cv2.connectedComponents(marked.mask.astype(np.uint8), connectivity=8)
        of, inside = regions[marked.mask], bins[marked.mask]
        self.defective += np.bincount(inside, minlength=BINS)
        self.overlap += np.bincount(inside, 1 / np.bincount(of)[of], minlength=BINS)
        self.regions += count - 1


def localise(pairs: Iterable[MarkedMap]) -> Localisation | None:
    """Compare maps with masks. None where no pixel, or every pixel, is defective."""
    counts = _Counts()
    for marked in pairs:
        counts.add(marked)
    if not counts.regions or not counts.good.any():
        return None
    false = _from_surest(counts.good) / counts.good.sum()
    true = _from_surest(counts.defective) / counts.defective.sum()
    overlap = _from_surest(counts.overlap) / counts.regions
    return Localisation(
        pixel_auroc=_area(false, true, 1.0),
        pro=_area(false, overlap, MOST_FALSE) / MOST_FALSE,
        pictures=counts.pictures,
        regions=counts.regions,
    )


def enlarge(found: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A coarse map at a picture's size, bilinearly."""
    return np.asarray(
        cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )


def _bins(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    # In float64 the log-odds of a float32 probability just below 1 are still finite.
    sure = np.clip(np.nan_to_num(probabilities.astype(np.float64), nan=1.0), 1e-7, 1 - 1e-7)
    odds = np.clip(np.log(sure / (1 - sure)), -SUREST, SUREST)
    return np.minimum((odds + SUREST) * (BINS / (2 * SUREST)), BINS - 1).astype(np.int64)


def _from_surest(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many lie at or above each threshold, from above all of them downwards."""
    return np.concatenate([[0.0], np.cumsum(histogram[::-1])])


def _area(x: NDArray[np.float64], y: NDArray[np.float64], most: float) -> float:
    """Below the curve through (x, y), which both never fall, from 0 to `most`."""
    inside = x <= most
    at_most = np.interp(most, x, y)
    return float(np.trapezoid(np.append(y[inside], at_most), np.append(x[inside], most)))
