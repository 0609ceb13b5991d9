"""Faults of processes: they are killed, or stand still for a while."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from hardware_sim.scenario.faults.base import ALL, Device, Fault, PlantControls, Seconds, Undo


class ProcessFault(Fault):
    """One of the plant's own processes is killed, and started again after `for_s`."""

    for_s: Seconds = 1.0

    def begin(self, plant: PlantControls) -> list[Undo]:
        process = plant.processes[self.process]
        process.kill()
        return [process.start]

    @property
    def acts_on(self) -> str:
        return self.process


class BrokerFault(ProcessFault):
    """The broker is killed, and started again after `for_s`."""

    kind: Literal["broker"] = "broker"

    @property
    def process(self) -> str:
        return "broker"


class CloudFault(ProcessFault):
    """A worker of the cloud is killed, and started again after `for_s`."""

    kind: Literal["cloud"] = "cloud"
    worker: int = Field(default=1, ge=1)

    @property
    def process(self) -> str:
        return f"cloud-{self.worker}"


class DatabaseFault(ProcessFault):
    """The database's server is killed, and started again after `for_s`."""

    kind: Literal["database"] = "database"

    @property
    def process(self) -> str:
        return "database"


class PauseFault(Fault):
    """A process stands still for `for_s`: a device's agent, the broker, the database or a worker
    of the cloud."""

    kind: Literal["pause"] = "pause"
    what: Literal["box", "broker", "cloud", "database"]
    device: Device = ALL
    worker: int = Field(default=1, ge=1)
    for_s: Seconds

    def begin(self, plant: PlantControls) -> Iterable[Undo]:
        if self.what == "box":
            stations = plant.aimed(self.device)
            for station in stations:
                station.pause_box()
            return [station.resume_box for station in stations]
        process = plant.processes[self.process]
        process.pause()
        return [process.resume]

    @property
    def process(self) -> str:
        if self.what == "box":
            return ""
        return f"cloud-{self.worker}" if self.what == "cloud" else self.what

    @property
    def aim(self) -> str | None:
        return self.device if self.what == "box" else None

    @property
    def acts_on(self) -> str:
        return self.process or "box"
