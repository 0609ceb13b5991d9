"""Flower's strategies, as rounds run them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedProx, Krum

from fleet.rounds.strategies.base import StrategyKind
from fleet.rounds.strategies.settings import (
    FedAdamSettings,
    FedAvgSettings,
    FedBNSettings,
    FedProxSettings,
    KrumSettings,
    MedianSettings,
)
from shared.federation.protocol import Scope, is_statistic


class FedAdamOnWeights(FedAdam):
    """FedAdam, but statistics are averaged: a step by Adam can make a variance negative."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        answers = list(replies)
        mean, _ = FedAvg.aggregate_train(self, server_round, answers)
        arrays, metrics = super().aggregate_train(server_round, answers)
        if arrays is not None and mean is not None:
            for name in arrays:
                if is_statistic(name):
                    arrays[name] = mean[name]
        return arrays, metrics


def _own_normalisation(scope: Scope) -> Scope:
    return msgspec.structs.replace(scope, normalisation="local")


FEDAVG = StrategyKind(FedAvgSettings, lambda _: FedAvg())
FEDBN = StrategyKind(FedBNSettings, lambda _: FedAvg(), scope=_own_normalisation)
FEDPROX = StrategyKind(FedProxSettings, lambda chosen: FedProx(proximal_mu=chosen.mu))
FEDADAM = StrategyKind(
    FedAdamSettings,
    lambda chosen: FedAdamOnWeights(eta=chosen.eta, tau=chosen.tau),
    memory=("m_t", "v_t"),
)
MEDIAN = StrategyKind(MedianSettings, lambda _: FedMedian(), compares=True)
KRUM = StrategyKind(
    KrumSettings, lambda chosen: Krum(num_malicious_nodes=chosen.malicious), compares=True
)
