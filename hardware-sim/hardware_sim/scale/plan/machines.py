"""The machines of a plan: what each kind can do and costs, every figure with its source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from hardware_sim.compute.profiles import SourcedFigure
from shared.settings import Settings, load_settings

SHIPPED = Path(__file__).with_name("machines.yaml")
TailKind = Literal["cpu", "gpu"]


class MachineType(Settings):
    """One kind of machine."""

    cores: SourcedFigure = Field(description="how many things it does at once")
    speed: SourcedFigure = Field(
        description="of one of them, against a core of the measuring machine"
    )
    price_per_hour: SourcedFigure


class Machines(Settings):
    """What a plan is made of."""

    currency: str = Field(min_length=1, max_length=8)
    busy_at_most: float = Field(
        0.7, gt=0, lt=1, description="share of a machine's time that a plan may use"
    )
    broker: MachineType
    worker: MachineType = Field(description="runs intake; one core of Python")
    tails: dict[TailKind, MachineType] = Field(min_length=1)
    database: MachineType = Field(description="cores: commits that wait for its disk at once")
    storage_per_gb_month: SourcedFigure
    keep_days: SourcedFigure = Field(description="how long a part's record is kept")


def load_machines(path: Path | None) -> Machines:
    """From a YAML file, or the shipped example. Raises SettingsError that lists every mistake."""
    return load_settings(path or SHIPPED, Machines)
