"""`splitsight sim run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from hardware_sim.processes.fleet_folder import FleetHome
from hardware_sim.processes.session import SHIPPED_BUNDLE, StopSignal, work_folder
from hardware_sim.scenario.plant import Plant, require_able
from hardware_sim.scenario.records import kept
from hardware_sim.scenario.rollouts import PublishedModels
from hardware_sim.scenario.run import Run
from hardware_sim.scenario.settings import Scenario, load_scenario
from hardware_sim.scenario.verdict import ScenarioReport
from hardware_sim.scenario.verdict import report as scenario_report
from shared import command_options as option
from shared.clock import SystemClock
from shared.console import err, out, print_json
from shared.errors import CheckFailed
from shared.storage.report_folder import prepare_report


def run(
    scenario: Annotated[
        Path, typer.Argument(help="A scenario's YAML file, or a shipped one's name.")
    ],
    report: option.Report = None,
    keep: option.Keep = None,
    format_: option.Format = "text",
) -> None:
    """Local: run a plant through a scenario; exit code 61 where an expectation is not met."""
    wanted = load_scenario(scenario)
    if report is not None:
        prepare_report(report, "sim")
    with work_folder(keep) as folder:
        found = carry_out(wanted, folder, report)
    if format_ == "json":
        print_json(found)
    else:
        out.print(described(found))
    if not found.ok:
        unmet = [check.name for check in found.checks if not check.ok]
        raise CheckFailed(
            f"{found.name} is not as expected: {', '.join(unmet)}",
            fix="look at --report DIR, and with --keep-in DIR at the logs",
        )


def carry_out(wanted: Scenario, folder: Path, report_folder: Path | None) -> ScenarioReport:
    """Start the plant, run it, put it away, judge."""
    stop, bundle = StopSignal(), wanted.bundle or SHIPPED_BUNDLE
    require_able(wanted, bundle)
    home = FleetHome.found(folder, SystemClock()) if wanted.rollouts is not None else None
    publish = PublishedModels(home, bundle, SystemClock()) if home is not None else None
    with Plant(wanted, bundle, folder, home=home) as plant:
        err.print(f"{wanted.name}: {wanted.about}", highlight=False)
        plant.start()
        with _bar() as bar:
            task = bar.add_task(wanted.name, total=wanted.duration_s)
            observed = Run(plant, SystemClock(), stop, publish).go(
                lambda seconds: bar.update(task, completed=seconds)
            )
        plant.stop()
        records = kept(plant.cloud.database, observed.passed)
    found = scenario_report(wanted, observed, records)
    if report_folder is not None:
        from hardware_sim.scenario.page import write_report  # noqa: PLC0415 - draws with matplotlib

        write_report(report_folder, wanted, observed, records, found)
    return found


def described(found: ScenarioReport) -> Table:
    """Every expectation with its value."""
    title = f"{found.name}: {'as expected' if found.ok else 'NOT as expected'}"
    table = Table(title=f"{title}, {found.seconds:.0f} s", title_justify="left")
    for column in ("", "expected", "found", ""):
        table.add_column(column)
    for check in found.checks:
        table.add_row(check.name, check.wanted, check.found, "ok" if check.ok else "NOT MET")
    return table


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True)
