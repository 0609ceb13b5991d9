"""A run from its settings to its report: base network, grid, rounds, a candidate if asked for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Literal, get_args

import msgspec
from flwr.serverapp.grid import Grid

from fleet.rounds.configuration.settings import RoundSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan, Watcher
from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.coordination.result import RunResult
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.grids.mqtt import MqttGrid
from fleet.rounds.report.findings import RunFindings
from fleet.rounds.report.page import write_report
from shared.errors import FederationError, MissingExtra, SettingsError
from shared.federation.base_network import BaseNetwork, write_base
from shared.transport.mqtt import MqttTransport

GridKind = Literal["mqtt", "in-process"]
GRIDS: tuple[GridKind, ...] = get_args(GridKind)
LEARNERS = "splitsight.learners"
RESULT = "network.npz"


@contextmanager
def open_run(
    settings: RoundSettings,
    plan: RunPlan,
    grid: GridKind | None = None,
    watch: Watcher = lambda _record, _values: None,
) -> Iterator[Coordinator]:
    """A coordinator on its grid, at the last finished round.

    grid   the one to use where there are settings for several; None: mqtt then
    Raises SettingsError where the grid has no settings, FederationError where base, journal or
    broker can't be used.
    """
    base = BaseNetwork.read(settings.base)
    with _grid(settings, grid) as opened:
        yield Coordinator(opened, settings, plan, base, watch=watch)


def run_rounds(coordinator: Coordinator) -> tuple[RunResult, RunFindings]:
    """The rounds that are left, the resulting network beside the journal, and the report.

    Raises as `Coordinator.run` does, after a report that says so, and as `conclude`.
    """
    try:
        coordinator.run()
    except FederationError as error:
        conclude(coordinator.result(), coordinator.answers, error.message)
        raise
    result = coordinator.result()
    write_base(result.folder / RESULT, result.arrays, result.base.architecture)
    return result, conclude(result, coordinator.answers)


def conclude(
    result: RunResult, answers: Callable[[], DeviceAnswers], failure: str = ""
) -> RunFindings:
    """The run's report, in its folder; a candidate comes first where one is wanted.

    answers   asks devices about the result
    failure   why the rounds ended early: then there is no candidate
    Raises as `make_candidate` and `by_policy`; FederationError where the report can't be written.
    """
    if not failure and not result.finished:
        reasons = "; ".join(record.reason for record in result.history)
        failure = f"no round has finished: {reasons}"
    if result.release is not None and not failure:
        from fleet.rounds.candidates.approval import by_policy  # noqa: PLC0415 - tuf
        from fleet.rounds.candidates.candidate import make_candidate  # noqa: PLC0415 - torch and onnx

        record, findings = make_candidate(result, answers, result.release)
        findings = msgspec.structs.replace(findings, release=by_policy(record, result.release))
    else:
        why = failure or "no candidate was asked for: the settings have no `release:`"
        findings = msgspec.structs.replace(result.findings, reasons=[why])
    try:
        write_report(result.folder, findings)
    except OSError as error:
        raise FederationError(f"{result.folder} can't be written ({error.strerror})") from error
    return findings


@contextmanager
def _grid(settings: RoundSettings, wanted: GridKind | None) -> Iterator[Grid]:
    kind = wanted or ("in-process" if settings.in_process and not settings.mqtt else "mqtt")
    if kind == "mqtt" and settings.mqtt is not None:
        grid = MqttGrid(
            MqttTransport(settings.mqtt.broker, f"rounds-{secrets.token_hex(6)}"),
            base=settings.base,
            grace_s=settings.mqtt.grace_s,
        )
        try:
            yield grid.open()
        finally:
            grid.close()
    elif kind == "in-process" and settings.in_process is not None:
        here = settings.in_process
        make = learner("folder")
        apps = make(here.data, settings.base, settings.folder / "devices", here.domains)
        yield InProcessGrid(apps, at_once=here.at_once)
    else:
        raise SettingsError(
            f"the configuration has no `{kind.replace('-', '_')}:`", fix=_LACKING[kind]
        )


_LACKING: dict[GridKind, str] = {
    "mqtt": "say there where the fleet's broker is",
    "in-process": "say there where the devices' pictures are",
}


def learner(name: str) -> Any:
    """What makes ClientApps, from the package that brings it: this one knows no device.

    Raises MissingExtra where nothing installed brings it.
    """
    for entry in entry_points(group=LEARNERS, name=name):
        try:
            return entry.load()
        except ImportError as error:
            raise MissingExtra("learn", error) from error
    raise FederationError(
        f"no learner called {name} is installed", fix="pip install 'splitsight[edge,learn]'"
    )
