"""What a run has told about a single device, at most: ε at a given δ, from `dp-accounting`.

Each round adds Gaussian noise to the sum of clipped changes. Two runs are neighbours if one device
answers with zero instead of its change ("replace special"): how many take part is no secret, and
whether a device answers must not depend on its pictures. Rounds add up by Rényi divergences
(Mironov 2017).

Only the noise counts. Choosing some of the devices each round would lower ε for who sees nothing
but the models; it is not counted, because the server and whoever reads its report see who took
part. This gives a larger ε than subsampling would, and never one that is too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from shared.errors import FederationError, MissingExtra


class BudgetSpent(FederationError):
    """Another round would tell more about a device than the run may."""

    def __init__(self, rounds: int, spent: float, after: float, budget: float) -> None:
        super().__init__(
            f"after {rounds} rounds ε is {spent:.3g}; another would make it {after:.3g},"
            f" above the budget of {budget:.3g}",
            fix="end here, or start with more noise (`privacy.noise`) or a larger `privacy.budget`",
        )


@dataclass(frozen=True, slots=True)
class Accountant:
    """ε of rounds that all have the same noise.

    noise    standard deviation of the noise on the sum, in sensitivities (clip norms)
    delta    allowed probability that ε does not hold; well below one over the number of devices
    budget   ε that a run may reach; infinity: any
    """

    noise: float
    delta: float
    budget: float = math.inf

    def epsilon(self, rounds: int) -> float:
        """ε after `rounds` rounds. Raises MissingExtra without dp-accounting."""
        if rounds == 0:
            return 0.0
        if self.noise == 0:
            return math.inf
        dp, rdp = _dp_accounting()
        ledger = rdp.RdpAccountant(neighboring_relation=dp.NeighboringRelation.REPLACE_SPECIAL)
        ledger.compose(dp.SelfComposedDpEvent(dp.GaussianDpEvent(self.noise), rounds))
        return float(ledger.get_epsilon(self.delta))

    def check(self, rounds: int) -> float:
        """ε after one more round than `rounds`. Raises BudgetSpent where that is too much."""
        after = self.epsilon(rounds + 1)
        if after > self.budget:
            raise BudgetSpent(rounds, self.epsilon(rounds), after, self.budget)
        return after

    def rounds(self, most: int = 100_000) -> int:
        """How many rounds the budget allows, `most` at most."""
        if self.epsilon(most) <= self.budget:
            return most
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            if self.epsilon(middle) <= self.budget:
                low = middle
            else:
                high = middle
        return low


def _dp_accounting() -> tuple[Any, Any]:
    # Two seconds to import, for a part that is off by default.
    try:
        return import_module("dp_accounting"), import_module("dp_accounting.rdp")
    except ImportError as error:
        raise MissingExtra("learn", error) from error
