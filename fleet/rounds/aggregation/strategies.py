"""Flower's strategies, set up for our rounds: they see values in 64 bits, never what travelled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedProx, Krum
from numpy.typing import NDArray

from fleet.rounds.configuration.settings import RoundSettings
from shared.errors import FederationError
from shared.federation.protocol import Scope, is_statistic

StrategyName = Literal["fedavg", "fedprox", "fedadam", "median", "krum", "fedbn"]
STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)
ROBUST: tuple[StrategyName, ...] = ("median", "krum")
"""They look at each update by itself, which secure aggregation hides."""


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


def make_strategy(name: StrategyName, settings: RoundSettings) -> FedAvg:
    """Every device that is there is asked; who that is, the coordinator decides."""
    strategy = _strategy(name, settings)
    # The coordinator has counted them before, and Flower would wait for ever.
    strategy.min_train_nodes = strategy.min_evaluate_nodes = strategy.min_available_nodes = 1
    return strategy


def _strategy(name: StrategyName, settings: RoundSettings) -> FedAvg:
    match name:
        case "fedprox":
            return FedProx(proximal_mu=settings.proximal)
        case "fedadam":
            return FedAdamOnWeights(eta=settings.adam_rate, tau=settings.adam_floor)
        case "median":
            return FedMedian()
        case "krum":
            return Krum(num_malicious_nodes=settings.poisoned)
        case "fedavg" | "fedbn":
            return FedAvg()


def scope_for(name: StrategyName, settings: RoundSettings) -> Scope:
    """FedBN is FedAvg whose normalisation stays with each device."""
    scope = settings.scope.as_scope()
    if name != "fedbn":
        return scope
    return Scope(
        from_block=scope.from_block,
        encoder=scope.encoder,
        decoder=scope.decoder,
        normalisation="local",
        judgement=scope.judgement,
    )


def memory_of(strategy: FedAvg) -> dict[str, NDArray[np.float64]]:
    """What a strategy carries from one round to the next: FedAdam's moments; empty for others."""
    if not isinstance(strategy, FedAdam):
        return {}
    moments = {"m": strategy.m_t or {}, "v": strategy.v_t or {}}
    return {f"{kind}/{name}": a for kind, arrays in moments.items() for name, a in arrays.items()}


def remember(strategy: FedAvg, memory: dict[str, NDArray[np.float64]]) -> None:
    """Give a strategy back what `memory_of` took."""
    if not isinstance(strategy, FedAdam):
        if memory:
            raise FederationError("the journal holds another strategy's moments")
        return
    strategy.m_t = _under("m/", memory) or None
    strategy.v_t = _under("v/", memory) or None


def _under(prefix: str, arrays: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
