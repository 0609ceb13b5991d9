"""The promises hold: on thousands of simulated populations, whose true rates are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.certification.certificate import GRID, PromiseLimits, fixed_sequence, parts_needed
from shared.certification.gate import Gate
from shared.certification.scores import Scored
from tests.shared.certification.one_place import choose, pass_below
from tests.shared.certification.populations import (
    DELTA,
    POPULATIONS,
    Maker,
    clustered,
    skewed,
    surely_above,
    tied,
    unrelated,
)

LIMITS = PromiseLimits(escapes=0.05, overkill=0.05, system=0.1, delta=DELTA)
# So many that two errors among them come as near to delta as can be: a test that allowed three,
# or counted one less, would break its promise far too often.
SAMPLED = parts_needed(2, 0.05, DELTA)
BEFORE = Gate(0.1, 0.9, 0.5)


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
        chosen = choose(defective.sample(rng, SAMPLED), good.sample(rng, SAMPLED), LIMITS, BEFORE)
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
        gate = Gate(threshold(population.sample(rng, SAMPLED)), 2.0, 0.5)
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
        sample = population.sample(rng, SAMPLED)
        edge = pass_below(sample, LIMITS.escapes, DELTA)
        assert edge is not None
        escaping = np.where(sample.edge < edge.threshold, -np.inf, sample.cloud)
        counts = np.searchsorted(np.sort(escaping), GRID)
        safe = fixed_sequence(counts, SAMPLED, LIMITS.system, DELTA)
        gate = Gate(edge.threshold, 2.0, float(GRID[safe - 1]))
        broken.append(population.passed(gate, with_cloud=True) > LIMITS.system)
    assert surely_above(np.array(broken))
