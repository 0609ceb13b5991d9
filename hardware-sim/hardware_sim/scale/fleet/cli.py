"""`splitsight sim fleet`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.status import Status

from hardware_sim.processes.session import SHIPPED_BUNDLE, StopSignal, work_folder
from hardware_sim.scale.fleet.measurement import FleetMeasurement, FleetTrial
from hardware_sim.scale.fleet.options import FleetOptions, device_counts
from hardware_sim.scale.fleet.report import FleetRow, with_growth
from shared import command_options as option
from shared.console import Format, err, out, print_json, print_table


def fleet(
    devices: Annotated[
        str, typer.Option(help="How many; 10,100,1000 measures each number alone.")
    ] = "10,100",
    every: option.Every = 10.0,
    escalated: option.Escalated = 0.1,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="To measure; each number of devices.")
    ] = 60.0,
    settle: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=600,
            help="Seconds that nobody is there, then seconds of parts, unmeasured.",
        ),
    ] = 5.0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that play devices.")] = 2,
    bundle: option.Bundle = SHIPPED_BUNDLE,
    runtime: option.Runtime = "auto",
    seed: option.Seed = 0,
    port: option.Port = 0,
    broker_port: option.BrokerPort = 0,
    keep: option.Keep = None,
    format_: option.Format = "text",
) -> None:
    """Local: measure what a device costs broker and cloud, with many light devices."""
    stop = StopSignal()
    counts = device_counts(devices)
    rows: list[FleetRow] = []
    with work_folder(keep) as folder:
        options = FleetOptions(
            devices=counts,
            bundle=bundle,
            every_s=every,
            escalated=escalated,
            seconds=seconds,
            settle_s=settle,
            workers=workers,
            runtime=runtime,
            seed=seed,
            port=port,
            broker_port=broker_port,
        )
        with err.status("recording what the head finds") as status:
            measuring = FleetMeasurement(options, folder)
            try:
                rows.extend(measuring.rows(lambda trial: _watch(trial, stop, status)))
            except typer.Abort:
                # What was measured until then is worth having.
                _show(rows, format_)
                raise
    _show(rows, format_)


def _watch(trial: FleetTrial, stop: StopSignal, status: Status) -> None:
    if stop.given:
        raise typer.Abort
    progress = trial.runner.progress()
    stages = "/".join(sorted({one.stage for one in progress}))
    status.update(
        f"{trial.runner.devices} devices: {stages}, {sum(p.connected for p in progress)} "
        f"connected, {sum(p.inspected for p in progress)} parts"
    )


def _show(rows: Sequence[FleetRow], format_: Format) -> None:
    grown = with_growth(rows)
    if format_ == "json":
        print_json(grown)
    elif grown:
        print_table("what a device costs broker and cloud", [_shown(row) for row in grown])
        exponent = grown[-1].growth_exponent
        if exponent is not None:
            out.print(f"cpu a part grows as devices to the {exponent:g}", highlight=False)


def _shown(row: FleetRow) -> dict[str, object]:
    return {
        "devices": row.devices,
        "parts": row.parts,
        "lost": row.lost,
        "duplicates": row.duplicates,
        "missed": row.deadlines_missed,
        "p50_ms": row.escalation_ms.p50,
        "p99_ms": row.escalation_ms.p99,
        "cpu_ms_a_part": row.per_device.cpu_ms_per_part,
        "kB_a_device": row.per_device.memory_kb,
        "B_a_part": row.per_device.bytes_per_part,
        "simulator_MiB": row.simulator.memory_kb / 1024,
    }
