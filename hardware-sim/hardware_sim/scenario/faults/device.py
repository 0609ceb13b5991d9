"""Faults of the box: of its power, of its accelerator."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from hardware_sim.scenario.faults.base import Device, DeviceFault, Seconds, StationControls, Undo


class PowerFault(DeviceFault):
    """A device's power is cut, and comes back after `for_s`."""

    kind: Literal["power"] = "power"
    for_s: Seconds = 2.0

    def begin_at(self, station: StationControls) -> Undo:
        station.cut_power()
        return station.start_box

    @property
    def acts_on(self) -> str:
        return "box"


class ResetFault(DeviceFault):
    """The accelerator's driver is reset: it refuses to work for `for_s`."""

    needs_profile: ClassVar[bool] = True

    kind: Literal["driver_reset"] = "driver_reset"
    device: Device
    for_s: Seconds = 2.0

    def begin_at(self, station: StationControls) -> None:
        # The driver itself knows when it is well again.
        station.reset_driver(self.for_s)


class AmbientFault(DeviceFault):
    """It gets as hot as `celsius` around a device."""

    needs_profile: ClassVar[bool] = True

    kind: Literal["ambient"] = "ambient"
    device: Device
    for_s: Seconds
    celsius: float = Field(ge=-40, le=120)

    def begin_at(self, station: StationControls) -> Undo:
        return partial(station.change_ambient, station.change_ambient(self.celsius))
