"""`splitsight edge`: run the agent, check its configuration, measure this machine."""

from __future__ import annotations

import dataclasses
import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from edge.benchmark import bench as run_bench
from edge.box import open_actuator, open_camera
from edge.checks import connection_checks
from edge.configuration.settings import load_edge_settings
from edge.identity.est import EstClient
from edge.identity.renewal import Keeper
from edge.inspection.inspector import load_head
from edge.monitoring.health import BoxHealth
from edge.session import AgentSession
from edge.updates.hosts.launcher import launched
from shared import command_options as option
from shared.bundles.bundle import Bundle
from shared.calls import CallHangs, LimitedCalls
from shared.clock import SystemClock
from shared.console import print_json, print_table, print_text
from shared.errors import CheckFailed, SettingsError
from shared.format import date

app = option.group("The agent in the camera box.")

# Threads hand over after 0.5 ms instead of 5: inference must not wait for the journal's.
SWITCH_S = 0.0005
# Without systemd, which would not wait as long: says where every thread stands, and exits.
STOP_S = 60.0
# Of a plug-in that is asked whether it works.
ANSWER_S = 30.0


@app.command()
def run(config: option.Config) -> None:
    """Network: inspect parts until the camera ends, or until SIGTERM or Ctrl-C."""
    sys.setswitchinterval(SWITCH_S)
    session = AgentSession(config, SystemClock())

    def stop(_number: int, _frame: object) -> None:
        session.stop()
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(STOP_S, exit=True, file=sys.__stderr__)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        code = session.run()
    finally:
        faulthandler.cancel_dump_traceback_later()
    if code:
        raise typer.Exit(code)


@app.command()
def start(config: option.Config) -> None:
    """Network: run the application that is live, or on trial, as the system's service does."""
    settings = load_edge_settings(config)
    folder = settings.updates.folder if settings.updates else None
    command, environment = launched(folder, config)
    os.execve(command[0], command, environment)  # noqa: S606 - the agent takes our place


@app.command()
def check(config: option.Config) -> None:
    """Network: read the configuration, open the bundle, try the camera and each broker."""
    settings = load_edge_settings(config)
    bundle = Bundle.open(settings.bundle)
    chosen = load_head(bundle, settings.runtime.name, settings.runtime.options)
    _answers("actuator", lambda: open_actuator(settings.actuator, SystemClock()))
    _answers("camera", lambda: open_camera(settings.camera, SystemClock()).probe())
    manifest = bundle.manifest
    print_text(
        f"{config} is good: {manifest.name} {manifest.version} on {chosen.runtime.name} "
        f"({chosen.reason}); the camera answers",
    )
    for row in connection_checks(settings):
        if row["ok"]:
            print_text(f"{row['check']}: {row['found']}")
        else:
            # A box inspects without them too: what is not sure is diverted.
            print_text(f"but {row['check']}: {row['found']}; {row['fix']}")


def _answers(what: str, question: Callable[[], object]) -> None:
    """Raises CheckFailed where that takes too long, and what the question raises."""
    try:
        LimitedCalls(f"check-{what}", ANSWER_S)(question)
    except CallHangs as error:
        raise CheckFailed(
            f"the {what} does not answer: {error}", fix=f"check the {what}, and its package"
        ) from error


@app.command()
def enrol(config: option.Config) -> None:
    """Network: get a certificate for the claim, or renew the one that is there, as `run` does."""
    settings = load_edge_settings(config)
    if settings.identity is None:
        raise SettingsError(
            f"{config.name} has no identity", fix="add `identity:` with gateway and ca"
        )
    clock = SystemClock()
    office = EstClient(settings.identity.gateway, settings.identity.ca, clock)
    keeper = Keeper(settings.identity, settings.device, office, clock, BoxHealth())
    gained = keeper.keep()
    held = gained or keeper.credential()
    if held is not None:
        office.check(held)
        what = "got a certificate" if gained else "has its certificate"
        print_text(
            f"{settings.device} {what}, valid until {date(held.not_after)}: {held.path}",
        )


@app.command()
def bench(
    bundle: option.Bundle,
    seconds: Annotated[float, typer.Option(min=0.01, help="To measure; each backend.")] = 2.0,
    threads: option.Threads = 1,
    format_: option.Format = "text",
) -> None:
    """Local: measure every backend on this machine, and name the one to use."""
    opened = Bundle.open(bundle)
    found = run_bench(opened, seconds=seconds, threads=threads, clock=SystemClock())
    rows: list[dict[str, object]] = [dataclasses.asdict(row) for row in found]
    if format_ == "json":
        print_json(rows)
    else:
        print_table(f"The head of {opened.manifest.name} on this machine", rows)
