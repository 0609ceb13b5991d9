"""A coordinator to be killed: `python -m tests.fleet.rounds.killed FOLDER BASE ROUNDS`."""

from __future__ import annotations

import sys
from pathlib import Path

from fleet.rounds.aggregation.plain_aggregation import PlainAggregation
from fleet.rounds.configuration.settings import RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.report.findings import RoundRecord
from fleet.rounds.strategies.settings import FedBNSettings
from shared import log
from shared.federation.base_network import BaseNetwork
from tests.fleet.rounds.tiny import tiny_apps

DEVICES = 3


def open_killable(folder: Path, base: Path, rounds: int) -> Coordinator:
    def say(record: RoundRecord, _values: object) -> None:
        print(record.round, flush=True)  # noqa: T201 - who kills it waits for this

    settings = RoundSettings(
        base=base,
        folder=folder / "run",
        scope=ScopeSettings(from_block=1, encoder=False),
        # FedBN and FedAdam are those that remember: here devices, there the coordinator.
        strategy=FedBNSettings(),
    )
    grid = InProcessGrid(tiny_apps(DEVICES, base, folder / "state"))
    plan, network = RunPlan(rounds), BaseNetwork.read(base)
    return Coordinator(grid, settings, plan, network, aggregation=PlainAggregation, watch=say)


if __name__ == "__main__":
    log.configure(level=40)
    open_killable(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])).run()
