"""Thresholds that somebody moves: places on the grid that certificates are tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from shared.certification.certificate import GRID
from shared.certification.gate import Gate
from shared.errors import SettingsError

EDGE = ("pass_below", "reject_from")
CLOUD = ("cloud_pass_below", "cloud_reject_from")
MARKS = (*EDGE, *CLOUD)
LAST = len(GRID) - 1


@dataclass(frozen=True, slots=True)
class Marks:
    """A gate whose thresholds lie on GRID, by place there.

    like     the gate that was moved; what is no threshold stays as it is there
    places   by the names of MARKS that this gate has
    """

    like: Gate
    places: Mapping[str, int]

    @classmethod
    def of(cls, gate: Gate, moved: Mapping[str, float] | None = None) -> Self:
        """The gate, with some of its thresholds moved; each comes to the nearest place.

        Raises SettingsError for one that is no score, or that crosses its fellow.
        """
        asked = {name: value for name, value in (moved or {}).items() if name in names_of(gate)}
        for name, value in asked.items():
            # The last place is a hair above 1: nothing is rejected there.
            if not 0 <= value <= GRID[-1]:
                raise SettingsError(f"{name} is {value}", fix="a score lies between 0 and 1")
        values = {name: float(getattr(gate, name)) for name in names_of(gate)} | asked
        marks = cls(gate, {name: place_of(value) for name, value in values.items()})
        for low, high in (EDGE, CLOUD):
            if low in marks.places and marks.places[low] > marks.places[high]:
                raise SettingsError(
                    f"{low} is {values[low]:.6g} and {high} is {values[high]:.6g}",
                    fix=f"{low} must not lie above {high}",
                )
        return marks

    @property
    def gate(self) -> Gate:
        """What was not moved keeps its very number, on the grid or not."""
        kept = {name: float(getattr(self.like, name)) for name in self.places}
        values = {
            name: kept[name] if place_of(kept[name]) == place else float(GRID[place])
            for name, place in self.places.items()
        }
        other = {
            name: getattr(self.like, name)
            for name in ("cloud_pass_below", "cloud_reject_from")
            if name not in self.places
        }
        return Gate(
            **{**other, **values}, tail_weight=self.like.tail_weight, escalates=self.like.escalates
        )

    @property
    def moved(self) -> bool:
        return self.gate != self.like

    def written(self) -> dict[str, str]:
        """The thresholds in as few digits as say which place they have."""
        return {name: written(place) for name, place in self.places.items()}


def names_of(gate: Gate) -> list[str]:
    """The thresholds that a gate has."""
    names = [*EDGE]
    if gate.escalates:
        names += CLOUD if gate.cloud_pass_below is not None else CLOUD[1:]
    return names


def place_of(value: float) -> int:
    """The place on GRID that lies nearest, by log-odds between the ends."""
    above = int(np.searchsorted(GRID, value, side="left"))
    if above > LAST:
        return LAST
    if above == 0 or GRID[above] == value:
        return above
    low, high = float(GRID[above - 1]), float(GRID[above])
    return above if value - low > high - value else above - 1


def written(place: int) -> str:
    """The threshold in as few digits as find its place again."""
    value = float(GRID[place])
    return next(
        text for digits in range(3, 18) if place_of(float(text := f"{value:.{digits}g}")) == place
    )
