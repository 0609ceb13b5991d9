"""One look at every picture of a set: its bytes' hash, its size and depth, a small grey copy."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.account import Account
from shared.console import track
from shared.features.picture_file import AS_STORED, decoded
from shared.opener import Unopenable

SIDE = 24
FINE = 96


@dataclass(frozen=True)
class Glances:
    """What was seen of n pictures, in their order.

    good    bool (n,): it could be read
    hashes  sha256 of each file, 32 bytes; empty where it could not be read
    small   float16 (n, SIDE²): grey, stretched to a square, of zero mean and unit length; 0 where
            it could not be read
    shapes  (height, width) of each; (0, 0) where it could not be read
    sizes   how many have which size, `640 × 480`; depths: and which depth, `8 bit grey`
    """

    good: NDArray[np.bool_]
    hashes: Sequence[bytes]
    small: NDArray[np.float16]
    shapes: Sequence[tuple[int, int]]
    sizes: Counter[str]
    depths: Counter[str]

    def some(self, places: Sequence[int]) -> Glances:
        """Of those pictures alone."""
        if len(places) == len(self.good):
            return self
        return replace(
            self,
            good=self.good[places],
            hashes=[self.hashes[place] for place in places],
            small=self.small[places],
            shapes=[self.shapes[place] for place in places],
        )


def glance(images: Sequence[Path], account: Account) -> Glances:
    """Read and decode each picture once. One that can't be is a flaw of the account."""
    good = np.zeros(len(images), bool)
    hashes = [b""] * len(images)
    small = np.zeros((len(images), SIDE * SIDE), np.float16)
    shapes = [(0, 0)] * len(images)
    sizes: Counter[str] = Counter()
    depths: Counter[str] = Counter()
    for index, image in enumerate(track(images, "looking at pictures", len(images))):
        try:
            raw = image.read_bytes()
            pixels = decoded(raw, AS_STORED)
        except OSError as error:
            account.flaw(image, f"can't be read ({error.strerror})")
            continue
        except Unopenable as error:
            account.flaw(image, f"is not a picture that can be read ({error})")
            continue
        good[index] = True
        hashes[index] = hashlib.sha256(raw).digest()
        sizes[f"{pixels.shape[1]} × {pixels.shape[0]}"] += 1
        depths[_depth(pixels)] += 1
        small[index] = unit(shrunk(pixels, SIDE))
        shapes[index] = (pixels.shape[0], pixels.shape[1])
    return Glances(good, hashes, small, shapes, sizes, depths)


def shrunk(pixels: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Grey, stretched to float32 (side, side), in 0–255 whatever the depth."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    if grey.dtype == np.uint8:
        return np.asarray(small, np.float32)
    low, high = float(small.min()), float(small.max())
    return np.asarray((small - low) * (255 / max(high - low, 1e-9)), np.float32)


def unit(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture as a row of zero mean and unit length."""
    row = picture.ravel() - picture.mean()
    return np.asarray(row / max(float(np.linalg.norm(row)), 1e-6), np.float32)


def _depth(pixels: NDArray[Any]) -> str:
    kind = "grey" if pixels.ndim == 2 else "colour"
    bits = pixels.dtype.itemsize * 8
    return f"{'float ' if pixels.dtype.kind == 'f' else ''}{bits} bit {kind}"
