"""Rounds on Flower's own engine: an app's folder for `flwr run`, with the same coordinator and
the same learner, and so the same result to the last bit.

What differs is the way there: a port more, 260 MB an idle node, a process for each message, and a
coordinator that Flower does not start again. The run's journal is the same, though: `flwr run`
once more goes on at the last finished round.
"""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import ServerApp
from flwr.serverapp.grid import Grid

from fleet.rounds.configuration.settings import RoundSettings, load_round_settings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.run import run_rounds
from shared.errors import SettingsError
from shared.federation.base_network import BaseNetwork

POLL_S = 0.5

PROJECT = """\
[project]
name = "splitsight-rounds"
version = "1.0.0"
description = "Federated rounds of splitsight on Flower's own engine"
dependencies = []

[tool.flwr.app]
publisher = "splitsight"

[tool.flwr.app.components]
serverapp = "coordinating:app"
clientapp = "learning:app"

[tool.flwr.app.config]
config = {config}
rounds = {rounds}
seed = {seed}
{more}"""
COORDINATING = '''\
"""The coordinator."""

from fleet.rounds.superlink import coordinating_app

app = coordinating_app()
'''
LEARNING = '''\
"""A device."""

from edge.learner.node import app

__all__ = ["app"]
'''


def write_app(folder: Path, config: Path, plan: RunPlan, strategy: str = "") -> None:
    """An app that `flwr run FOLDER` takes. Raises SettingsError where the folder has one.

    strategy   one that was named on the command line, as the last release wanted it
    """
    project = folder / "pyproject.toml"
    if project.exists():
        raise SettingsError(f"{project} is there already", fix="choose an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    text = PROJECT.format(
        config=_quoted(str(config.resolve())),
        rounds=plan.rounds,
        seed=plan.seed,
        more=f"strategy = {_quoted(strategy)}\n" if strategy else "",
    )
    tomllib.loads(text)
    (folder / "coordinating.py").write_text(COORDINATING)
    (folder / "learning.py").write_text(LEARNING)
    project.write_text(text)


def coordinating_app() -> ServerApp:
    """The ServerApp of a written app: it reads what the run's configuration says."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        options = context.run_config
        config, strategy = Path(str(options["config"])), str(options.get("strategy", ""))
        settings = load_round_settings(config, strategy)
        plan = RunPlan(int(options["rounds"]), int(options["seed"]))
        coordinator = Coordinator(grid, settings, plan, BaseNetwork.read(settings.base))
        _wait_for_nodes(grid, settings)
        run_rounds(coordinator)

    return app


def _wait_for_nodes(grid: Grid, settings: RoundSettings) -> None:
    """Nodes that were started with us may still be on their way; later, rounds go on without."""
    give_up = time.monotonic() + settings.answer_s
    while len(list(grid.get_node_ids())) < settings.least_devices and time.monotonic() < give_up:
        time.sleep(POLL_S)


def _quoted(text: str) -> str:
    """As a TOML string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
