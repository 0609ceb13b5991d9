"""How a picture's pixels become those that a network was trained on: part of each bundle."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from shared.settings import Settings

Depth = Literal["auto", 8, 10, 12, 14, 16, "float"]
Bayer = Literal["none", "rg", "gr", "bg", "gb"]
Turn = Literal[0, 90, 180, 270]
Share = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Share, Share]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=1000)]
_LEAST = 1e-4


class TileSettings(Settings):
    """How a large picture is cut into tiles that overlap, each judged by itself.

    Lengths are pixels of the picture once it is cut out and turned. Tiles lie evenly, the last of
    a row ends where the picture ends.
    """

    height: int = Field(ge=16, le=4096, description="of a tile, brought to the network's input")
    width: int = Field(ge=16, le=4096, description="of a tile, brought to the network's input")
    overlap: int = Field(
        ge=0,
        description="at least so much of two neighbours is the same: what is not longer lies whole "
        "in a tile",
    )
    most: int = Field(
        default=1024,
        ge=1,
        le=10_000,
        description="tiles of a picture; one that needs more is refused, for nobody waits for it",
    )

    @field_validator("overlap")
    @classmethod
    def _leaves_something(cls, overlap: int, info: ValidationInfo) -> int:
        sides = [info.data[name] for name in ("height", "width") if name in info.data]
        if sides and overlap > min(sides) // 2:
            raise ValueError(f"is more than half of a tile; at most {min(sides) // 2}")
        return overlap


class PixelSettings(Settings):
    """What is done to each picture, by box, training and learner alike, in this order.

    Places are (x, y) from the upper left corner in shares of the picture's width and height, 0–1,
    of the picture as it is stored, once EXIF has turned it.
    """

    depth: Depth = Field(
        default="auto",
        description="bits of a pixel, in whatever it is stored; `float` for numbers with a point. "
        "`auto`: training finds it out, and a bundle with it takes 8 bits, or the upper 8 of 16",
    )
    white: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="float pictures: the value that is white; training finds it out",
    )
    bayer: Bayer = Field(
        default="none", description="colours of a raw mosaic, by its first two pixels"
    )
    region: tuple[Polygon, ...] = Field(
        default=(), max_length=100, description="what lies outside is blackened; empty: nothing is"
    )
    ignored: tuple[Polygon, ...] = Field(
        default=(), max_length=100, description="what lies inside is blackened"
    )
    crop: tuple[Share, Share, Share, Share] | None = Field(
        default=None, description="left, top, right and bottom of what is left"
    )
    corners: tuple[Point, Point, Point, Point] | None = Field(
        default=None,
        description="the part's upper left, upper right, lower right and lower left corner, which "
        "become the picture's",
    )
    turn: Turn = Field(default=0, description="degrees clockwise")
    # What is not set is not written, so that agents before tiles read it too.
    tiles: TileSettings | None = Field(
        default=None,
        exclude_if=lambda tiles: tiles is None,
        description="at last it is cut into tiles that are judged one by one; none: it is judged "
        "whole, as small as the network's input",
    )

    @property
    def moves(self) -> bool:
        """Whether a place of the network's input is another one of the picture."""
        return bool(self.crop or self.corners or self.turn)

    @property
    def shapes(self) -> bool:
        """Whether anything is done but to the values of pixels."""
        return bool(self.moves or self.region or self.ignored)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.white is not None and self.depth not in {"auto", "float"}:
            raise ValueError("white is for float pictures; leave it out, or say depth: float")
        if self.crop is not None and self.corners is not None:
            raise ValueError("crop and corners can't both be; the corners alone cut out as well")
        if self.crop is not None:
            left, top, right, bottom = self.crop
            if right - left < _LEAST or bottom - top < _LEAST:
                raise ValueError("crop leaves nothing; it is left, top, right, bottom")
        if self.corners is not None and not _clockwise(np.array(self.corners)):
            raise ValueError(
                "corners are no four corners in the order upper left, upper right, lower right, "
                "lower left"
            )
        return self


def _clockwise(corners: NDArray[np.float64]) -> bool:
    """Whether they go round clockwise, y downwards, and bend nowhere inwards."""
    steps = np.diff(np.vstack([corners, corners[:2]]), axis=0)
    return all(a[0] * b[1] - a[1] * b[0] > _LEAST for a, b in pairwise(steps))


AS_IT_IS = PixelSettings()
