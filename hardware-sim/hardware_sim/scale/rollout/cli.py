"""`splitsight sim rollout`: a release, good or bad, on its way to many light devices."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import typer
from rich.status import Status

from hardware_sim.processes.session import SHIPPED_BUNDLE, StopSignal, work_folder
from hardware_sim.scale.fleet.options import device_count
from hardware_sim.scale.rollout.report import RolloutReport
from hardware_sim.scale.rollout.trial import RolloutOptions, RolloutTrial
from shared import command_options as option
from shared.console import Format, err, out, print_json, print_table
from shared.errors import CheckFailed

ReleaseOption = Literal["good", "crashing", "slow", "blind"]
MOST_DEVICES = 2000


def rollout(
    devices: Annotated[str, typer.Option(help="How many; light ones, up to 2000.")] = "200",
    release: Annotated[ReleaseOption, typer.Option(help="How the new model behaves.")] = "good",
    every: Annotated[
        float, typer.Option(min=0.05, max=60, help="Seconds between a device's parts.")
    ] = 1.0,
    shadow_parts: Annotated[
        int, typer.Option(min=0, help="Parts that it looks at before it decides any; 0: none.")
    ] = 20,
    health: Annotated[float, typer.Option(min=0.5, help="Seconds that it must run well.")] = 10.0,
    spared: Annotated[
        int, typer.Option(min=0, help="Devices, the first asked, on which a bad one does well.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes that play devices.")] = 2,
    bundle: option.Bundle = SHIPPED_BUNDLE,
    runtime: option.Runtime = "auto",
    seed: option.Seed = 0,
    port: option.Port = 0,
    keep: option.Keep = None,
    format_: option.Format = "text",
) -> None:
    """Local: roll a model out to many light devices; see a bad one stopped and taken back.

    Ends with an error where a promise is broken: stopped at 5 % at most, back within 120 s, no
    device without inspections for 10 s; a good one reaches all.
    """
    count = device_count(devices, MOST_DEVICES)
    stop = StopSignal()
    with work_folder(keep) as folder, err.status("making releases") as status:
        options = RolloutOptions(
            bundle=bundle,
            devices=count,
            release=release,
            every_s=every,
            shadow_parts=shadow_parts,
            health_s=health,
            spared=spared,
            workers=workers,
            runtime=runtime,
            seed=seed,
            port=port,
        )
        trial = RolloutTrial(options, folder)
        try:
            report = trial.run(lambda: _watch(trial, stop, status))
        finally:
            trial.runner.stop()
    _show(report, format_)
    if report.broken:
        raise CheckFailed("; ".join(report.broken), fix="see the report above")


def _watch(trial: RolloutTrial, stop: StopSignal, status: Status) -> None:
    if stop.given:
        raise typer.Abort
    progress = trial.runner.progress()
    connected, parts = sum(p.connected for p in progress), sum(p.inspected for p in progress)
    told = f"{connected} of {trial.runner.devices} devices connected, {parts} parts"
    if trial.status:
        told = f"{trial.status['state']}, ring {trial.status['ring']}, {told}"
    status.update(f"{told}; page: {trial.runner.cloud.url}/fleet")


def _show(report: RolloutReport, format_: Format) -> None:
    if format_ == "json":
        print_json(report)
        return
    rows = [{"what": key, "value": value} for key, value in msgspec.to_builtins(report).items()]
    print_table(f"{report.release} release, {report.devices} devices", rows)
    out.print("all promises kept" if not report.broken else "promises broken", highlight=False)
