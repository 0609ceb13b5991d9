"""Where a defect is, in whatever form its tool wrote it, as pixels of the picture."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.mask_pixels import mask_pixels
from shared.errors import DataError
from shared.opener import Unopenable


class Mask(Protocol):
    """Which pixels of a picture are defective."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is read from, none where its data set's labels hold it."""
        ...

    def pixels(self, height: int, width: int) -> NDArray[np.bool_]:
        """bool (height, width), of a picture of that size.

        Raises DataError where it can't be read or was drawn on a picture of another size.
        """
        ...

    def digest(self) -> str:
        """Changes with what is marked."""
        ...


@dataclass(frozen=True, slots=True)
class MaskFiles:
    """One picture of the defect, or several that are laid over each other.

    Whatever is not 0 is defect: 255, 1, or the index of a palette.
    """

    files: tuple[Path, ...]

    @property
    def is_plain(self) -> bool:
        """Whether the file says it all, as a manifest names it."""
        return len(self.files) == 1

    def pixels(self, height: int, width: int) -> NDArray[np.bool_]:
        defective = np.zeros((height, width), np.bool_)
        for file in self.files:
            values = _values(file)
            if values.shape[:2] != (height, width):
                raise DataError(
                    f"{file} is a mask of {values.shape[1]} × {values.shape[0]}, its picture has "
                    f"{width} × {height}",
                    fix="save the mask in the size of its picture",
                )
            marked = values != 0
            defective |= marked if marked.ndim == 2 else marked.any(axis=2)
        return defective

    def digest(self) -> str:
        whole = hashlib.sha256()
        for file in self.files:
            whole.update(file.read_bytes())
        return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class MaskShapes:
    """Polygons of a label tool, each a sequence of (x, y) in pixels of the picture.

    A box is a polygon of four corners. `size` is the picture's (height, width) as the tool wrote
    it, (0, 0) where it wrote none.
    """

    polygons: tuple[tuple[tuple[float, float], ...], ...]
    size: tuple[int, int] = (0, 0)

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def pixels(self, height: int, width: int) -> NDArray[np.bool_]:
        if any(self.size):
            require_size(self.size, height, width)
        canvas = np.zeros((height, width), np.uint8)
        for polygon in self.polygons:
            corners = np.round(np.asarray(polygon, np.float64)).astype(np.int32)
            cv2.fillPoly(canvas, [corners], 1)
        return canvas.astype(np.bool_)

    def digest(self) -> str:
        return hashlib.sha256(repr((self.polygons, self.size)).encode()).hexdigest()


def require_size(drawn: tuple[int, int], height: int, width: int) -> None:
    """Raises DataError for labels that were drawn on a picture of another (height, width)."""
    if drawn != (height, width):
        raise DataError(
            f"the labels were drawn on {drawn[1]} × {drawn[0]} pixels, the picture has "
            f"{width} × {height}",
            fix="export the labels again with the pictures that they were drawn on",
        )


def box(left: float, top: float, width: float, height: float) -> tuple[tuple[float, float], ...]:
    """A box's corners. Its last row and column lie inside, as label tools count."""
    right, bottom = left + width - 1, top + height - 1
    return (left, top), (right, top), (right, bottom), (left, bottom)


def joined(masks: Sequence[Mask]) -> Mask | None:
    """All of them over each other; None of none."""
    if not masks:
        return None
    return masks[0] if len(masks) == 1 else JoinedMasks(tuple(masks))


@dataclass(frozen=True, slots=True)
class JoinedMasks:
    """Several masks of one picture."""

    masks: tuple[Mask, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for mask in self.masks for file in mask.files)

    def pixels(self, height: int, width: int) -> NDArray[np.bool_]:
        every = [mask.pixels(height, width) for mask in self.masks]
        return np.asarray(np.logical_or.reduce(every), np.bool_)

    def digest(self) -> str:
        return hashlib.sha256("".join(m.digest() for m in self.masks).encode()).hexdigest()


def _values(file: Path) -> NDArray[Any]:
    try:
        return mask_pixels(file)
    except Unopenable as error:
        raise DataError(
            f"{file} is not a mask that can be read ({error})", fix="remove or replace it"
        ) from error
