"""Faults of a line: of its camera, of its parts, of its belt."""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field

from hardware_sim.camera.faults import Effect
from hardware_sim.scenario.faults.base import DeviceFault, Seconds, StationControls, Undo


class CameraFault(DeviceFault):
    """A camera's picture suffers from `effect`."""

    kind: Literal["camera"] = "camera"
    for_s: Seconds
    effect: Effect

    def begin_at(self, station: StationControls) -> Undo:
        station.set_effect(self.effect)
        return partial(station.clear_effect, self.effect.kind)

    @property
    def acts_on(self) -> str:
        return f"camera {self.effect.kind}"


class BurstFault(DeviceFault):
    """Of the next `parts` parts, the share `rate` is defective."""

    kind: Literal["burst"] = "burst"
    parts: int = Field(ge=1, le=100_000)
    rate: float = Field(ge=0, le=1)

    def begin_at(self, station: StationControls) -> None:
        station.burst(self.parts, self.rate)


class SpeedFault(DeviceFault):
    """The belt runs at another speed from now on."""

    kind: Literal["speed"] = "speed"
    speed: float = Field(gt=0, le=50, description="m/s")

    def begin_at(self, station: StationControls) -> None:
        station.change_speed(self.speed)
