"""How updates are mixed, as packages plug it in: `strategy: {kind: NAME, …}` in a run's settings.

The name is that of an entry point in the group `splitsight.strategies`, which leads to a
`StrategyKind`. Flower's own are in `fleet.rounds.strategies.flower`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fleet.rounds.strategies.settings import StrategySettings
from shared.errors import FederationError
from shared.federation.protocol import Scope
from shared.plugins.group import PluginGroup

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
    from flwr.serverapp.grid import Grid

S = TypeVar("S", bound=StrategySettings)
Memory = dict[str, NDArray[np.float64]]


class Strategy(Protocol):
    """What the coordinator asks of a strategy; each of Flower's does it.

    Arrays are values in 64 bits, whatever travels: what the coordinator holds, and what it holds
    plus a device's change.
    """

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """A training for each node of `grid`, all of which take part. Nothing is sent."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The round's result, from answers in the order of devices' names."""


@dataclass(frozen=True, slots=True)
class StrategyKind(Generic[S]):
    """How a strategy is configured and opened.

    settings   what `strategy:` may say; `kind: Literal[NAME]` names it
    open       a strategy for one run
    memory     its attributes that a round hands on to the next: a dict of arrays each, or None.
               They are kept in the run's journal
    scope      what it changes about which layers are shared
    compares   it looks at each update by itself. Secure aggregation hides them, and no ε is known
    """

    settings: type[S]
    open: Callable[[S], Strategy]
    memory: tuple[str, ...] = ()
    scope: Callable[[Scope], Scope] = lambda scope: scope
    compares: bool = False


STRATEGIES: PluginGroup[StrategyKind[Any]] = PluginGroup(
    "splitsight.strategies", "strategy", StrategyKind, Strategy, tagged=True, needs="flwr"
)
_MINIMA = ("min_train_nodes", "min_evaluate_nodes", "min_available_nodes")


class RunStrategy:
    """The strategy of one run. Raises SettingsError where nothing installed takes the settings."""

    def __init__(self, settings: StrategySettings) -> None:
        self.kind = STRATEGIES.of(settings)
        self.flower: Strategy = STRATEGIES.opened(settings)
        for name in _MINIMA:
            if hasattr(self.flower, name):
                # The coordinator has counted devices before, and Flower would wait for ever.
                setattr(self.flower, name, 1)

    @property
    def memory(self) -> Memory:
        """What one round hands to the next; empty where nothing is."""
        return {
            f"{attribute}/{name}": array
            for attribute in self.kind.memory
            for name, array in (getattr(self.flower, attribute) or {}).items()
        }

    def restore(self, memory: Memory) -> None:
        """Take `memory` back. Raises FederationError for that of another strategy."""
        left = dict(memory)
        for attribute in self.kind.memory:
            prefix = f"{attribute}/"
            names = [name for name in left if name.startswith(prefix)]
            arrays = {name.removeprefix(prefix): left.pop(name) for name in names}
            setattr(self.flower, attribute, arrays or None)
        if left:
            raise FederationError("the journal holds what another strategy remembers")
