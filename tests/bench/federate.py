"""What a round costs beside training itself: 50 devices of a tiny network in this process."""

from __future__ import annotations

import time
from pathlib import Path

from fleet.rounds.aggregation.plain_aggregation import PlainAggregation
from fleet.rounds.configuration.settings import RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.strategies.settings import FedAvgSettings, MedianSettings
from shared.federation.base_network import BaseNetwork
from tests.fleet.rounds.tiny import TINY_VALUES, tiny_apps, tiny_base

DEVICES, ROUNDS = 50, 20


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """One row a strategy."""
    del bundle_path
    base = tiny_base(folder)
    rows: list[dict[str, object]] = []
    for strategy in (FedAvgSettings(), MedianSettings()):
        settings = RoundSettings(
            base=base,
            folder=folder / strategy.kind,
            strategy=strategy,
            scope=ScopeSettings(from_block=1, encoder=False),
        )
        grid = InProcessGrid(tiny_apps(DEVICES, base, folder / f"state-{strategy.kind}"))
        plan = RunPlan(ROUNDS)
        coordinator = Coordinator(
            grid, settings, plan, BaseNetwork.read(base), aggregation=PlainAggregation
        )
        started = time.monotonic()
        history = coordinator.run().history
        last = history[-1]
        rows.append(
            {
                "strategy": strategy.kind,
                "devices": len(last.took_part),
                "rounds": len(history),
                "seconds": time.monotonic() - started,
                "values": TINY_VALUES,
                "bytes_up": last.bytes_up,
                "bytes_down": last.bytes_down,
            }
        )
    return rows
