"""The promises hold: on thousands of simulated populations, whose true rates are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.certification.certificate import (
    GRID,
    PromiseLimits,
    choose,
    fixed_sequence,
    interval,
    parts_needed,
    pass_below,
)
from shared.certification.gate import Gate
from shared.certification.scores import Scored

Floats = NDArray[np.float64]
POPULATIONS = 2000
PARTS = 500
DELTA = 0.1
LIMITS = PromiseLimits(escapes=0.05, overkill=0.05, system=0.1, delta=DELTA)
# So many that two errors among them come as near to delta as can be: a test that allowed three,
# or counted one less, would break its promise far too often.
SAMPLED = parts_needed(2, 0.05, DELTA)
BEFORE = Gate(0.1, 0.9, 0.5)


class Population(NamedTuple):
    """Every part of one kind that a plant makes: scores of its pictures, (parts, pictures)."""

    edge: Floats
    cloud: Floats

    def sample(self, rng: np.random.Generator, parts: int = SAMPLED) -> Scored:
        """Parts drawn independently of each other."""
        drawn = rng.integers(0, len(self.edge), parts)
        part = np.repeat(np.arange(parts), self.edge.shape[1])
        return Scored(part, self.edge[drawn].ravel(), self.cloud[drawn].ravel())

    def passed(self, gate: Gate, *, with_cloud: bool) -> float:
        """The true share of parts of which a picture passes."""
        passed = self.edge < gate.pass_below
        if with_cloud:
            between = (self.edge >= gate.pass_below) & (self.edge < gate.reject_from)
            passed |= between & (self.cloud < gate.cloud_reject_from)
        return float(passed.any(axis=1).mean())

    def rejected(self, gate: Gate) -> float:
        """The true share of parts of which the edge rejects a picture."""
        return float((self.edge >= gate.reject_from).any(axis=1).mean())


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


class Broken(NamedTuple):
    """In which populations a promise did not hold, bool (n,); `given`: the system's was made."""

    escapes: NDArray[np.bool_]
    overkill: NDArray[np.bool_]
    system: NDArray[np.bool_]
    given: NDArray[np.bool_]


@cache
def simulate(make: Maker) -> Broken:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(POPULATIONS):
        defective, good = make(rng, rng.uniform(0.6, 0.9)), make(rng, rng.uniform(0.1, 0.4))
        chosen = choose(defective.sample(rng), good.sample(rng), LIMITS, BEFORE)
        assert chosen is not None
        rows.append(
            (
                defective.passed(chosen.gate, with_cloud=False) > LIMITS.escapes,
                good.rejected(chosen.gate) > LIMITS.overkill,
                chosen.system is not None
                and defective.passed(chosen.gate, with_cloud=True) > LIMITS.system,
                chosen.system is not None,
            )
        )
    return Broken(*np.array(rows).T)


def surely_above(broken: NDArray[np.bool_]) -> bool:
    """Whether the promise is broken more often than delta, beyond what chance explains (99.9 %)."""
    return interval(int(broken.sum()), len(broken), 0.002)[0] > DELTA


@pytest.mark.parametrize("make", [skewed, tied, clustered, unrelated])
def test_no_promise_is_broken_more_often_than_it_says(make: Maker) -> None:
    broken = simulate(make)
    assert not surely_above(broken.escapes)
    assert not surely_above(broken.overkill)
    assert not surely_above(broken.system)


@pytest.mark.parametrize("make", [skewed, clustered, unrelated])
def test_promises_are_not_kept_by_being_timid(make: Maker) -> None:
    broken = simulate(make)
    assert broken.given.all()
    assert broken.escapes.mean() > 0.6 * DELTA
    assert broken.system.mean() > 0.4 * DELTA
    assert make is unrelated or broken.overkill.mean() > 0.6 * DELTA


def share_broken(make: Maker, threshold: Callable[[Scored], float]) -> NDArray[np.bool_]:
    rng = np.random.default_rng(2)
    broken = []
    for _ in range(POPULATIONS):
        population = make(rng, rng.uniform(0.6, 0.9))
        gate = Gate(threshold(population.sample(rng)), 2.0, 0.5)
        broken.append(population.passed(gate, with_cloud=False) > LIMITS.escapes)
    return np.array(broken)


@pytest.mark.parametrize("make", [skewed, clustered])
def test_a_quantile_without_a_bound_breaks_the_promise(make: Maker) -> None:
    def quantile(sample: Scored) -> float:
        return float(np.quantile(sample.first_to_pass(), LIMITS.escapes))

    assert surely_above(share_broken(make, quantile))


def test_pictures_taken_for_parts_break_the_promise() -> None:
    def by_picture(sample: Scored) -> float:
        pictures = Scored(np.arange(len(sample.edge)), sample.edge, sample.cloud)
        tested = pass_below(pictures, LIMITS.escapes, DELTA)
        assert tested is not None
        return tested.threshold

    assert surely_above(share_broken(clustered, by_picture))


def test_a_system_tested_as_if_the_edge_had_been_fixed_before_breaks_its_promise() -> None:
    rng = np.random.default_rng(3)
    broken = []
    for _ in range(POPULATIONS):
        population = unrelated(rng, rng.uniform(0.6, 0.9))
        sample = population.sample(rng)
        edge = pass_below(sample, LIMITS.escapes, DELTA)
        assert edge is not None
        escaping = np.where(sample.edge < edge.threshold, -np.inf, sample.cloud)
        counts = np.searchsorted(np.sort(escaping), GRID)
        safe = fixed_sequence(counts, SAMPLED, LIMITS.system, DELTA)
        gate = Gate(edge.threshold, 2.0, float(GRID[safe - 1]))
        broken.append(population.passed(gate, with_cloud=True) > LIMITS.system)
    assert surely_above(np.array(broken))
