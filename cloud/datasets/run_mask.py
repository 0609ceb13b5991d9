"""Masks as runs of pixels, column by column from 1, as tables of Severstal and Kaggle hold them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import DataError


@dataclass(frozen=True, slots=True)
class RunMask:
    """Runs (start, length): pixel 1 is the upper left one, pixel 2 the one below it."""

    runs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str) -> RunMask:
        """Of `29102 12 29346 24`. Raises ValueError where it is no such list."""
        numbers = [int(word) for word in text.split()]
        if len(numbers) % 2:
            raise ValueError(f"has {len(numbers)} numbers, want pairs of start and length")
        runs = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        if any(start < 1 or length < 1 for start, length in runs):
            raise ValueError("has a start or a length below 1")
        return cls(runs)

    @property
    def files(self) -> tuple[Path, ...]:
        """None: the table holds it."""
        return ()

    @property
    def area(self) -> int:
        """Pixels that are marked, where no two runs overlap."""
        return sum(length for _, length in self.runs)

    def pixels(self, height: int, width: int) -> NDArray[np.bool_]:
        """As in `Mask`."""
        end = max((start + length - 1 for start, length in self.runs), default=0)
        if end > height * width:
            raise DataError(
                f"the runs end at pixel {end}, the picture has {width} × {height}",
                fix="export the labels again with the pictures that they were drawn on",
            )
        flat = np.zeros(height * width, np.bool_)
        for start, length in self.runs:
            flat[start - 1 : start - 1 + length] = True
        return np.ascontiguousarray(flat.reshape(width, height).T)

    def digest(self) -> str:
        """As in `Mask`."""
        return hashlib.sha256(repr(self.runs).encode()).hexdigest()
