"""Faults of the way to the cloud, and of what is at its end."""

from __future__ import annotations

from functools import partial
from typing import Literal

from hardware_sim.network.conditions import Conditions
from hardware_sim.scenario.faults.base import (
    DeviceFault,
    Fault,
    PlantControls,
    Seconds,
    StationControls,
    Undo,
)


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


class BrokerFault(Fault):
    """The broker is killed, and started again after `for_s`."""

    kind: Literal["broker"] = "broker"
    for_s: Seconds = 1.0

    def begin(self, plant: PlantControls) -> list[Undo]:
        plant.stop_broker()
        return [plant.start_broker]


class CloudFault(Fault):
    """The cloud's process is killed, and started again after `for_s`."""

    kind: Literal["cloud"] = "cloud"
    for_s: Seconds = 1.0

    def begin(self, plant: PlantControls) -> list[Undo]:
        plant.stop_cloud()
        return [plant.start_cloud]
