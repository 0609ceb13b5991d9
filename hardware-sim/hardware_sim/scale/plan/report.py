"""The report of `splitsight sim plan`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np

from hardware_sim.scale.fleet.report import FleetRow
from hardware_sim.scale.plan.cell import CellMachines, PlantCell
from hardware_sim.scale.plan.demand import Costs, Load, best_of, commits_per_part, load_of
from hardware_sim.scale.plan.machines import Machines, TailKind
from hardware_sim.scale.plan.sizing import (
    Sizing,
    money_per_million_parts,
    size,
    stored_bytes_per_part,
)


class StationRow(msgspec.Struct, frozen=True):
    """One kind of machine.

    utilisation       rate × service time over what the machines can do
    cell_utilisation  the same of one cell, whose machines are rounded up
    simulated         as the discrete-event model of that cell finds it
    one_carries       devices of this load that keep one machine busy all the time
    """

    station: str
    machines: int
    utilisation: float
    cell_utilisation: float
    simulated: float
    one_carries: int
    price_per_hour: float
    sources: dict[str, str]


class CellRow(msgspec.Struct, frozen=True):
    """The share of the plant that was simulated; the others are like it."""

    cells: int
    devices: int
    parts: int
    escalation_p50_ms: float | None
    escalation_p99_ms: float | None


class Difference(msgspec.Struct, frozen=True):
    """The model against a measurement: costs taken at `from_devices`, predicted at `devices`.

    difference   modelled over measured, less 1; it should lie within 0.2
    """

    from_devices: int
    devices: int
    what: str
    measured: float
    modelled: float
    difference: float


class CapacityPlan(msgspec.Struct, frozen=True):
    """Machines and money for a load.

    saturates_first   of one machine of each kind, at `saturates_at` devices
    """

    devices: int
    parts_per_minute: float
    escalated: float
    parts_per_s: float
    bytes_per_s: float
    stored_gb_per_day: float
    stations: list[StationRow]
    saturates_first: str
    saturates_at: int
    currency: str
    machines_per_million_parts: float
    storage_per_million_parts: float
    cell: CellRow
    checked: list[Difference]


def make_plan(
    load: Load,
    rows: Sequence[FleetRow],
    machines: Machines,
    tail: TailKind,
    *,
    sample: int,
    seed: int = 0,
) -> CapacityPlan:
    """Size a load, simulate one cell of it and check the model against what was measured.

    sample   parts that the simulation lets come by
    Raises DataError and SettingsError.
    """
    costs = best_of(rows)
    sizing = size(load, costs, machines, tail)
    cells, cell_load, layout = one_cell(sizing)
    found = PlantCell(cell_load, costs, layout, seed).run(sample)
    trips = np.asarray(found.round_trips_s) * 1000
    p50, p99 = np.percentile(trips, [50, 99]) if len(trips) else (None, None)
    machine_money, storage_money = money_per_million_parts(sizing, costs, machines)
    first = sizing.first_to_saturate
    return CapacityPlan(
        devices=load.devices,
        parts_per_minute=60 / load.every_s,
        escalated=load.escalated,
        parts_per_s=load.parts_per_s,
        bytes_per_s=round(load.parts_per_s * costs.bytes_per_part(load), 1),
        stored_gb_per_day=round(
            load.parts_per_s * stored_bytes_per_part(load, costs) * 86_400 / 1e9, 3
        ),
        stations=_stations(sizing, found.busy, utilisations(cell_load, costs, layout)),
        saturates_first=first.name,
        saturates_at=first.carries,
        currency=machines.currency,
        machines_per_million_parts=round(machine_money, 4),
        storage_per_million_parts=round(storage_money, 4),
        cell=CellRow(cells, cell_load.devices, found.parts, _rounded(p50), _rounded(p99)),
        checked=check(rows),
    )


def one_cell(sizing: Sizing) -> tuple[int, Load, CellMachines]:
    """How many like cells a plan falls into, and one of them.

    As many as the kind with the fewest machines has, so that each cell has whole machines of
    every kind; where they don't divide, a cell has one more of a kind than its share.
    """
    cells = min(station.machines for station in sizing.stations)
    load = sizing.load

    def servers(name: str) -> int:
        station = sizing.station(name)
        share = -(-station.machines // cells)
        return share * max(1, round(station.machine.cores.value))

    def speed(name: str) -> float:
        return sizing.station(name).machine.speed.value

    layout = CellMachines(
        *(servers(name) for name in ("broker", "worker", "tail", "database")),
        *(speed(name) for name in ("broker", "worker", "tail", "database")),
    )
    return cells, Load(-(-load.devices // cells), load.every_s, load.escalated), layout


def check(rows: Sequence[FleetRow], *, seed: int = 0) -> list[Difference]:
    """Take costs from one number of devices and predict the next, by simulation.

    Empty where only one number was measured.
    """
    differences = []
    for known, row in itertools.pairwise(rows):
        costs, load = Costs.of(known), load_of(row)
        parts = max(200, round(load.parts_per_s * row.seconds))
        found = PlantCell(load, costs, CellMachines(), seed).run(parts)
        worked = sum(found.busy[name] for name in ("broker", "worker", "tail"))
        pairs = {
            "cpu_ms_per_part": (row.per_device.cpu_ms_per_part, worked * 1000 / load.parts_per_s),
            "bytes_per_part": (row.per_device.bytes_per_part, costs.bytes_per_part(load)),
        }
        differences += [
            Difference(
                known.devices, row.devices, what, told, round(made, 3), round(made / told - 1, 3)
            )
            for what, (told, made) in pairs.items()
        ]
    return differences


def utilisations(load: Load, costs: Costs, layout: CellMachines) -> dict[str, float]:
    """Rate × service time of each station of a cell."""
    commits = commits_per_part(load, layout.workers, costs.commit_s)
    needed = {
        "broker": costs.broker_per_part(load) / layout.brokers / layout.broker_speed,
        "worker": costs.intake_per_part(load, layout.workers)
        / layout.workers
        / layout.worker_speed,
        "tail": costs.tail_per_part(load) / layout.tails / layout.tail_speed,
        "database": commits * costs.disk_s / layout.databases / layout.database_speed,
    }
    return {name: load.parts_per_s * seconds for name, seconds in needed.items()}


def _stations(
    sizing: Sizing, simulated: dict[str, float], in_cell: dict[str, float]
) -> list[StationRow]:
    return [
        StationRow(
            station=station.name,
            machines=station.machines,
            utilisation=round(station.busy, 4),
            cell_utilisation=round(in_cell[station.name], 4),
            simulated=round(simulated[station.name], 4),
            one_carries=station.carries,
            price_per_hour=round(station.machines * station.machine.price_per_hour.value, 4),
            sources={
                name: getattr(station.machine, name).source
                for name in type(station.machine).model_fields
            },
        )
        for station in sizing.stations
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 2)
