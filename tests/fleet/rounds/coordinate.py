"""A coordinator over MQTT, to be killed: arguments FOLDER PORT ROUNDS.

Says a line a round: number, outcome, who took part, who was late.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from fleet.rounds.aggregation.plain_aggregation import PlainAggregation
from fleet.rounds.configuration.settings import LocalSettings, RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.mqtt import MqttGrid
from fleet.rounds.report.findings import RoundRecord
from shared import log
from shared.federation.base_network import BaseNetwork
from shared.transport.mqtt import BrokerSettings, MqttTransport
from tests.fleet.rounds.tiny import tiny_base


def open_grid(folder: Path, port: int, *, grace_s: float = 8.0) -> MqttGrid:
    broker = BrokerSettings(port=port)  # type: ignore[call-arg]
    return MqttGrid(
        MqttTransport(broker, "rounds"), base=folder / "base-0.npz", grace_s=grace_s
    ).open()


def coordinator(
    grid: MqttGrid,
    folder: Path,
    rounds: int,
    watch: Callable[[RoundRecord], None],
    *,
    deadline_s: float = 60.0,
) -> Coordinator:
    base = folder / "base-0.npz"
    settings = RoundSettings(
        base=base,
        folder=folder / "run",
        scope=ScopeSettings(from_block=1, encoder=False),
        local=LocalSettings(rate=0.02, block_share=1.0, versions=2),
        deadline_s=deadline_s,
        answer_s=10.0,
        least_devices=1,
    )
    return Coordinator(
        grid,
        settings,
        RunPlan(rounds),
        BaseNetwork.read(base),
        aggregation=PlainAggregation,
        watch=lambda record, _values: watch(record),
    )


def main(folder: Path, port: int, rounds: int) -> None:
    def say(record: RoundRecord) -> None:
        took = ",".join(one.device for one in record.took_part)
        print(record.round, record.outcome, took, flush=True)  # noqa: T201 - who kills it reads this

    log.configure(level=30)
    grid = open_grid(folder, port)
    try:
        coordinator(grid, folder, rounds, say).run()
    finally:
        grid.close()


__all__ = ["coordinator", "open_grid", "tiny_base"]

if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
