"""What each fault does to a plant, and what ends it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, singledispatch

from hardware_sim.scenario.faults import (
    AmbientFault,
    BrokerFault,
    BurstFault,
    CameraFault,
    CloudFault,
    CutFault,
    Fault,
    NetworkFault,
    PowerFault,
    ResetFault,
    SpeedFault,
)
from hardware_sim.scenario.plant import Plant
from hardware_sim.scenario.station import DeviceStation

Undo = Callable[[], object]


@singledispatch
def befall(fault: Fault, plant: Plant) -> list[Undo]:
    """Let it happen. Returns what ends it again; nothing where it ends by itself.

    Raises ProcessError where what it is aimed at is away.
    """
    raise NotImplementedError(f"{type(fault).__name__} of {plant.scenario.name}")


@befall.register
def _(fault: NetworkFault, plant: Plant) -> list[Undo]:
    aimed = plant.aimed(fault.device)
    for station in aimed:
        station.apply(fault.conditions)
    return [partial(station.apply, None) for station in aimed]


@befall.register
def _(fault: CutFault, plant: Plant) -> list[Undo]:
    for station in plant.aimed(fault.device):
        station.proxy.cut()
    return []


@befall.register
def _(_fault: BrokerFault, plant: Plant) -> list[Undo]:
    plant.stop_broker()
    return [plant.start_broker]


@befall.register
def _(_fault: CloudFault, plant: Plant) -> list[Undo]:
    plant.cloud.child.kill()
    return [plant.cloud.start]


@befall.register
def _(fault: CameraFault, plant: Plant) -> list[Undo]:
    aimed = plant.aimed(fault.device)
    for station in aimed:
        station.line_control.set(fault.effect)
    return [partial(_clear, station, fault.effect.kind) for station in aimed]


@befall.register
def _(fault: PowerFault, plant: Plant) -> list[Undo]:
    aimed = plant.aimed(fault.device)
    for station in aimed:
        station.plug.cut()
    return [station.start_box for station in aimed]


@befall.register
def _(fault: ResetFault, plant: Plant) -> list[Undo]:
    for station in plant.aimed(fault.device):
        station.compute.reset(fault.for_s)
    return []


@befall.register
def _(fault: AmbientFault, plant: Plant) -> list[Undo]:
    undo: list[Undo] = []
    for station in plant.aimed(fault.device):
        undo.append(partial(station.compute.ambient, station.compute.state().ambient_c))
        station.compute.ambient(fault.celsius)
    return undo


@befall.register
def _(fault: BurstFault, plant: Plant) -> list[Undo]:
    for station in plant.aimed(fault.device):
        station.line_control.burst(fault.parts, fault.rate)
    return []


@befall.register
def _(fault: SpeedFault, plant: Plant) -> list[Undo]:
    for station in plant.aimed(fault.device):
        station.line_control.change_speed(fault.speed)
    return []


def _clear(station: DeviceStation, kind: str) -> None:
    # A line that has seen its last part off has no knobs any more.
    if station.line.running:
        station.line_control.clear(kind)
