"""A run of rounds from its settings: base network, grid, coordinator."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Literal, get_args

from flwr.app import Context, RecordDict
from flwr.serverapp.grid import Grid

from fleet.rounds.configuration.settings import RoundSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan, Watcher
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.grids.mqtt import MqttGrid
from fleet.rounds.server_app import server_app
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


def run_rounds(coordinator: Coordinator) -> None:
    """The rounds that are left, as Flower's app; then the resulting network beside the journal."""
    app = server_app(lambda _grid: coordinator)
    app(coordinator.grid, Context(0, 0, {}, RecordDict(), {}))
    write_base(coordinator.folder / RESULT, coordinator.result(), coordinator.architecture)


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
