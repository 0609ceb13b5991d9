"""What a run of rounds came to, for whoever makes something of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet.rounds.configuration.settings import ReleaseSettings
from fleet.rounds.coordination.journal import Terms
from fleet.rounds.report.findings import RoundRecord, RunFindings
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import TrainOrder, Vector, VectorLayout, narrow


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run as it stands after its last round. Nothing in it changes any more.

    folder   of its journal, its network and its report
    base     the network that it began with
    values   what was learned, in 64 bits, as `layout` names it
    order    by which devices know this network
    release  what is to become of it; None: nothing more
    """

    folder: Path
    terms: Terms
    history: Sequence[RoundRecord]
    base: BaseNetwork
    layout: VectorLayout
    values: Vector
    order: TrainOrder
    release: ReleaseSettings | None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The base's arrays with what was learned in their place."""
        return self._with(self.values)

    @property
    def sent(self) -> BaseNetwork:
        """The network as devices are sent it: what was learned in 16 bits."""
        return BaseNetwork(self._with(narrow(self.values)), self.base.architecture, "")

    @property
    def finished(self) -> bool:
        """Whether any round has changed the network."""
        return any(record.outcome == "finished" for record in self.history)

    @property
    def findings(self) -> RunFindings:
        return RunFindings.of_rounds(self.terms.run, self.terms.strategy, self.history)

    def _with(self, values: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        learned = self.layout.named(values)
        return {
            name: learned[name].astype(array.dtype) if name in learned else array
            for name, array in self.base.arrays.items()
        }
