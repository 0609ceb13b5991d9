"""`splitsight sim plan`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardware_sim.scale.fleet.options import device_count
from hardware_sim.scale.plan.machines import TailKind, load_machines
from shared import command_options as option
from shared.console import err, out, print_json, print_table

if TYPE_CHECKING:
    from hardware_sim.scale.plan.report import CapacityPlan

MOST = 10**9


def plan(
    devices: Annotated[str, typer.Option(help="How many; 1e5 is 100000.")] = "1000",
    parts_per_minute: Annotated[
        float, typer.Option(min=0.01, max=60_000, help="Of a device.")
    ] = 60.0,
    escalated: option.Escalated = 0.1,
    tail: Annotated[TailKind, typer.Option(help="Where tails run.")] = "cpu",
    machines: Annotated[
        Path | None, typer.Option(help="YAML of what machines do and are paid; an example ships.")
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(help="What `sim fleet --format json` printed; ours ships.")
    ] = None,
    sample: Annotated[int, typer.Option(min=100, max=1_000_000, help="Parts to simulate.")] = 5000,
    seed: option.Seed = 0,
    format_: option.Format = "text",
) -> None:
    """Local: compute machines and money for any number of devices from what a few have cost."""
    from hardware_sim.scale.plan.demand import Load, read_measured  # noqa: PLC0415 - simpy, when wanted
    from hardware_sim.scale.plan.report import make_plan  # noqa: PLC0415

    load = Load(device_count(devices, MOST), 60 / parts_per_minute, escalated)
    rows, known = read_measured(measured), load_machines(machines)
    with err.status("simulating one cell"):
        made = make_plan(load, rows, known, tail, sample=sample, seed=seed)
    if format_ == "json":
        print_json(made)
    else:
        _show(made)


def _show(made: CapacityPlan) -> None:
    rows = [
        {
            "station": row.station,
            "machines": row.machines,
            "busy": f"{row.utilisation:.0%}",
            "in_a_cell": f"{row.cell_utilisation:.0%}",
            "simulated": f"{row.simulated:.0%}",
            "one_carries_devices": row.one_carries,
            f"{made.currency}_an_hour": row.price_per_hour,
        }
        for row in made.stations
    ]
    print_table(f"{made.devices} devices, {made.parts_per_s:.0f} parts/s", rows)
    for line in _lines(made):
        out.print(line, highlight=False)


def _lines(made: CapacityPlan) -> Iterator[str]:
    cell, currency = made.cell, made.currency
    yield f"first to saturate: {made.saturates_first}, one is full at {made.saturates_at} devices"
    yield (
        f"escalation: p50 {cell.escalation_p50_ms} ms, p99 {cell.escalation_p99_ms} ms, simulated "
        f"in one of {cell.cells} cells with {cell.devices} devices and {cell.parts} parts"
    )
    yield (
        f"a million parts: {made.machines_per_million_parts:.2f} {currency} for machines, "
        f"{made.storage_per_million_parts:.2f} {currency} for storage"
    )
    yield (
        f"network {made.bytes_per_s / 1e6:.2f} MB/s, records {made.stored_gb_per_day:.2f} GB a day"
    )
    for one in made.checked:
        yield (
            f"checked: {one.what} at {one.devices} devices, from {one.from_devices}: measured "
            f"{one.measured:g}, modelled {one.modelled:g} ({one.difference:+.1%})"
        )
