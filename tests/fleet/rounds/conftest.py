"""A tiny base network and a way to run rounds on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from flwr.clientapp import ClientApp
from flwr.serverapp.grid import Grid

from fleet.rounds.aggregation.plain_aggregation import PlainAggregation
from fleet.rounds.configuration.settings import LocalSettings, RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.in_process import InProcessGrid
from shared.federation.base_network import BaseNetwork

Open = Callable[..., Coordinator]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    from tests.fleet.rounds.tiny import tiny_base  # which imports torch

    return tiny_base(tmp_path)


@pytest.fixture
def open_rounds(base: Path, tmp_path: Path) -> Open:
    """Opens a run among the given apps; keywords go to its settings and to the coordinator."""

    def open_(
        apps: Mapping[str, ClientApp],
        plan: RunPlan | None = None,
        *,
        folder: str = "run",
        more: Mapping[str, Any] | None = None,
        grid: Callable[[Mapping[str, ClientApp]], Grid] = InProcessGrid,
        **settings: Any,
    ) -> Coordinator:
        chosen = RoundSettings(
            base=base,
            folder=tmp_path / folder,
            scope=ScopeSettings(from_block=1, encoder=False),
            local=LocalSettings(rate=0.02, block_share=1.0, versions=2),
            **settings,
        )
        return Coordinator(
            grid(apps),
            chosen,
            plan or RunPlan(3),
            BaseNetwork.read(base),
            **{"aggregation": PlainAggregation, **(more or {})},
        )

    return open_
