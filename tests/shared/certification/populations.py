"""Plants whose true rates are known, and what is drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

from shared.certification.certificate import GRID, interval
from shared.certification.gate import Gate
from shared.certification.scores import Scored

Floats = NDArray[np.float64]
# 2,000; fewer in `make quick`, as of every property's examples.
POPULATIONS = 20 * settings().max_examples
PARTS = 500
DELTA = 0.1


class Population(NamedTuple):
    """Every part of one kind that a plant makes: scores of its pictures, (parts, pictures)."""

    edge: Floats
    cloud: Floats

    def sample(self, rng: np.random.Generator, parts: int) -> Scored:
        """Parts drawn independently of each other."""
        drawn = rng.integers(0, len(self.edge), parts)
        part = np.repeat(np.arange(parts), self.edge.shape[1])
        return Scored(part, self.edge[drawn].ravel(), self.cloud[drawn].ravel())

    def passed(self, gate: Gate, *, with_cloud: bool) -> float:
        """The true share of parts of which a picture passes."""
        passed = self.edge < gate.pass_below
        if with_cloud:
            between = (self.edge >= gate.pass_below) & (self.edge < gate.reject_from)
            below = (
                gate.cloud_reject_from if gate.cloud_pass_below is None else gate.cloud_pass_below
            )
            passed |= between & (self.cloud < below)
        return float(passed.any(axis=1).mean())

    def rejected(self, gate: Gate, *, with_cloud: bool = False) -> float:
        """The true share of parts of which a picture is rejected."""
        rejected = self.edge >= gate.reject_from
        if with_cloud:
            rejected |= (self.edge >= gate.pass_below) & (self.cloud >= gate.cloud_reject_from)
        return float(rejected.any(axis=1).mean())


Maker = Callable[[np.random.Generator, float], Population]


def skewed(rng: np.random.Generator, level: float) -> Population:
    """One picture a part; long tails that reach far to the wrong side."""
    edge = rng.beta(rng.uniform(0.2, 4) * level, rng.uniform(0.2, 4) * (1 - level), (PARTS, 1))
    return Population(edge, answered(rng, edge, rng.uniform(0, 3)))


def tied(rng: np.random.Generator, level: float) -> Population:
    """Scores of which many are equal, some of them on a threshold."""
    population = skewed(rng, level)
    steps = GRID[:: int(rng.integers(100, 400))]
    places = (np.clip(np.searchsorted(steps, p), 0, len(steps) - 1) for p in population)
    return Population(*(steps[place] for place in places))


def clustered(rng: np.random.Generator, level: float) -> Population:
    """Six pictures a part, much alike."""
    odds = rng.normal(6 * level - 3, 2, (PARTS, 1)) + rng.normal(0, 0.5, (PARTS, 6))
    edge = 1 / (1 + np.exp(-odds))
    return Population(edge, answered(rng, edge, rng.uniform(0, 1)))


def unrelated(rng: np.random.Generator, level: float) -> Population:
    """A cloud that errs on other parts than the head, and is asked about all that does not pass:
    so many good parts look as bad as can be that nothing may be rejected at the edge."""
    edge = skewed(rng, level).edge
    edge[: PARTS // 5] = 1.0
    return Population(edge, skewed(rng, level).edge)


def answered(rng: np.random.Generator, edge: Floats, apart: float) -> Floats:
    """The cloud's scores: the head's, `apart` in log-odds."""
    kept = np.clip(edge, 1e-9, 1 - 1e-9)
    odds = np.log(kept / (1 - kept)) + rng.normal(0.5, 1, edge.shape) * apart
    return 1 / (1 + np.exp(-odds))


def surely_above(broken: NDArray[np.bool_]) -> bool:
    """Whether the promise is broken more often than delta, beyond what chance explains (99.9 %)."""
    return interval(int(broken.sum()), len(broken), 0.002)[0] > DELTA
