"""How many machines a load needs, by utilisation = rate × service time, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hardware_sim.scale.plan.demand import Costs, Load, commits_per_part
from hardware_sim.scale.plan.machines import Machines, MachineType, TailKind
from shared.errors import SettingsError

MOST_MACHINES = 1 << 20
MOST_DEVICES = 1 << 34
DAYS_A_MONTH = 30.0

Busy = Callable[[Load, int], float]
"""Share of their time that so many machines work under a load."""


@dataclass(frozen=True, slots=True)
class MachineStation:
    """One kind of machine in a plan.

    busy       share of its time that it works, analytically
    carries    devices of this load until one machine of this kind works all the time, with as
               many of the others as they need
    """

    name: str
    machine: MachineType
    machines: int
    busy: float
    carries: int


@dataclass(frozen=True, slots=True)
class Sizing:
    """Machines for a load; `stations` are broker, worker, tail, database."""

    load: Load
    stations: tuple[MachineStation, ...]

    def station(self, name: str) -> MachineStation:
        return next(station for station in self.stations if station.name == name)

    @property
    def first_to_saturate(self) -> MachineStation:
        """Of one machine of each kind, the one that the fewest devices fill."""
        return min(self.stations, key=lambda station: station.carries)


def size(load: Load, costs: Costs, machines: Machines, tail: TailKind) -> Sizing:
    """Raises SettingsError for a kind of tail that the machines don't have, or a load that no
    number of machines carries.
    """
    if tail not in machines.tails:
        raise SettingsError(
            f"the machines have no tail of kind {tail}",
            fix="add it under `tails`, or change --tail",
        )

    def workers_for(load: Load) -> int:
        return _least(lambda n: _worker_busy(load, costs, machines.worker, n), machines)

    def database_busy(load: Load, count: int) -> float:
        commits = load.parts_per_s * commits_per_part(load, workers_for(load), costs.commit_s)
        return commits * costs.disk_s / _power(machines.database, count)

    def even(demand: Callable[[Load], float], machine: MachineType) -> Busy:
        return lambda load, count: load.parts_per_s * demand(load) / _power(machine, count)

    tails = machines.tails[tail]
    asked: dict[str, tuple[MachineType, Busy]] = {
        "broker": (machines.broker, even(costs.broker_per_part, machines.broker)),
        "worker": (machines.worker, lambda load, n: _worker_busy(load, costs, machines.worker, n)),
        "tail": (tails, even(costs.tail_per_part, tails)),
        "database": (machines.database, database_busy),
    }
    stations = (
        _station(name, machine, load, machines, busy) for name, (machine, busy) in asked.items()
    )
    return Sizing(load, tuple(stations))


def money_per_million_parts(
    sizing: Sizing, costs: Costs, machines: Machines
) -> tuple[float, float]:
    """For machines, and for storage while a part's record is kept."""
    per_hour = sum(s.machines * s.machine.price_per_hour.value for s in sizing.stations)
    parts_per_hour = sizing.load.parts_per_s * 3600
    months = machines.keep_days.value / DAYS_A_MONTH
    stored_gb = stored_bytes_per_part(sizing.load, costs) * 1e6 / 1e9
    storage = stored_gb * months * machines.storage_per_gb_month.value
    return per_hour / parts_per_hour * 1e6, storage


def stored_bytes_per_part(load: Load, costs: Costs) -> float:
    """Of records; a state replaces the one before, and maps are bounded by `keep_maps`."""
    return (1 + load.escalated) * costs.row_bytes


def _station(
    name: str,
    machine: MachineType,
    load: Load,
    machines: Machines,
    busy: Busy,
) -> MachineStation:
    count = _least(lambda n: busy(load, n), machines)
    if busy(load, count) > machines.busy_at_most:
        raise SettingsError(
            f"{MOST_MACHINES} machines are too few for the {name}",
            fix="plan for fewer devices or parts, or for faster machines",
        )
    return MachineStation(name, machine, count, busy(load, count), _carried(load, busy))


def _worker_busy(load: Load, costs: Costs, worker: MachineType, count: int) -> float:
    return load.parts_per_s * costs.intake_per_part(load, count) / _power(worker, count)


def _power(machine: MachineType, count: int) -> float:
    """Core seconds of the measuring machine that so many do in a second."""
    return count * machine.cores.value * machine.speed.value


def _least(busy: Callable[[int], float], machines: Machines) -> int:
    """The smallest number of machines that is busy for no more than is allowed; MOST_MACHINES
    where that would not do.
    """
    most = 1
    while busy(most) > machines.busy_at_most:
        if most == MOST_MACHINES:
            return most
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if busy(middle) > machines.busy_at_most else (least, middle)
    return most


def _carried(load: Load, busy: Busy) -> int:
    """Devices that keep one machine busy all the time."""

    def is_full(devices: int) -> bool:
        return busy(Load(devices, load.every_s, load.escalated), 1) >= 1

    most = 1
    while not is_full(most) and most < MOST_DEVICES:
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if is_full(middle) else (middle, most)
    return max(1, math.floor(least))
