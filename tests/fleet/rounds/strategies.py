"""The strategies that we bring, by name."""

from __future__ import annotations

from fleet.rounds.strategies.settings import (
    FedAdamSettings,
    FedAvgSettings,
    FedBNSettings,
    FedProxSettings,
    KrumSettings,
    MedianSettings,
    StrategySettings,
)

OURS: dict[str, StrategySettings] = {
    one.kind: one
    for one in (
        FedAvgSettings(),
        FedProxSettings(),
        FedAdamSettings(eta=0.05),
        MedianSettings(),
        KrumSettings(),
        FedBNSettings(),
    )
}
