"""Faults of the way to the cloud."""

from __future__ import annotations

from functools import partial
from typing import Literal

from hardware_sim.network.conditions import Conditions
from hardware_sim.scenario.faults.base import DeviceFault, Seconds, StationControls, Undo


class NetworkFault(DeviceFault):
    """The link between a device and its broker becomes as bad as `conditions` say."""

    kind: Literal["network"] = "network"
    for_s: Seconds
    conditions: Conditions

    def begin_at(self, station: StationControls) -> Undo:
        station.apply(self.conditions)
        return partial(station.apply, None)


class CutFault(DeviceFault):
    """Connections between a device and its broker are reset; new ones may be made at once."""

    kind: Literal["cut"] = "cut"

    def begin_at(self, station: StationControls) -> None:
        station.cut_connections()
