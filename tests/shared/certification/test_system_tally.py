"""The system's counts over thresholds add up over devices."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shared.certification.certificate import BINS, GRID, PromiseLimits, edge_bin
from shared.certification.gate import Gate
from shared.certification.scores import Scored
from shared.certification.system_tally import SYSTEM_LENGTH, SystemTally
from shared.certification.tally import ScoreTally
from shared.errors import FederationError
from tests.shared.certification.one_place import choose, passing

BEFORE = Gate(0.2, 0.8, 0.5, 0.75)
EASY = PromiseLimits(escapes=0.2, overkill=0.2, system=0.4, delta=0.1)
SOME = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, float(GRID[1000]), math.nan])


@st.composite
def parts(draw: st.DrawFn, least: int, most: int) -> Scored:
    """Parts of one to three pictures; scores that are often equal, and some that are none."""
    count, pictures = draw(st.integers(least, most)), draw(st.integers(1, 3))
    values = draw(st.sampled_from([SOME, st.floats(0, 1), st.floats(0, 1) | st.just(math.nan)]))
    part = np.repeat(np.arange(count), pictures)
    edge, cloud = (draw(hnp.arrays(np.float64, len(part), elements=values)) for _ in range(2))
    return Scored(part, edge, cloud)


def together(several: list[Scored]) -> Scored:
    """The same parts in one place."""
    starts = np.cumsum([0, *(one.parts for one in several)])
    part = [one.part + start for one, start in zip(several, starts, strict=False)]
    edge = np.concatenate([one.edge for one in several])
    return Scored(np.concatenate(part), edge, np.concatenate([one.cloud for one in several]))


@given(
    st.lists(st.tuples(parts(0, 25), parts(0, 25)), min_size=1, max_size=4),
    st.floats(0.25, 0.9),
    st.integers(1, 4),
)
def test_two_rounds_of_summed_counts_choose_the_very_gate_that_the_scores_together_would(
    devices: list[tuple[Scored, Scored]], system: float, weights: int
) -> None:
    limits = PromiseLimits(EASY.escapes, EASY.overkill, system, EASY.delta)
    edge = ScoreTally.read(reduce(add, (ScoreTally.of(*one).flat() for one in devices)))
    defective, good = (together([one[kind] for one in devices]) for kind in (0, 1))
    wanted, found = choose(defective, good, limits, BEFORE, weights), edge.gate(limits)
    if wanted is None or found is None:
        assert wanted is None
        assert found is None
        return
    counts = edge.defective.passing()
    upto = edge_bin(counts, edge.defective.parts, limits)
    gate = Gate(found.pass_below, found.reject_from, 0.5)
    flats = (SystemTally.of(*one, gate, upto).flat() for one in devices)
    summed = SystemTally.read(reduce(add, flats))
    chosen = summed.choose(limits, weights)
    assert chosen == wanted.system
    assert (summed.defective, summed.good) == (defective.parts, good.parts)
    assert summed.before == edge.defective.lowest[:upto].sum()
    if chosen is not None:
        assert summed.passed_by(chosen.threshold) == defective.passed(wanted.gate, with_cloud=True)
        assert summed.rejected_by(chosen.threshold) == good.rejected(wanted.gate, with_cloud=True)


@given(parts(1, 40), parts(1, 40), st.integers(0, len(GRID) - 1))
def test_counts_say_what_every_threshold_of_the_cloud_would_do(
    defective: Scored, good: Scored, place: int
) -> None:
    edge, threshold = Gate(0.2, 0.8, 0.5), float(GRID[place])
    gate = Gate(0.2, 0.8, threshold)
    upto = edge_bin(passing(defective), defective.parts, EASY)
    found = SystemTally.of(defective, good, edge, upto)
    assert found.passed_by(threshold) == defective.passed(gate, with_cloud=True)
    assert found.rejected_by(threshold) == good.rejected(gate, with_cloud=True)


def test_counts_that_no_device_can_have_counted_are_refused() -> None:
    some = Scored(np.arange(3), np.full(3, 0.4), np.full(3, 0.4))
    sound = SystemTally.of(some, some, BEFORE, 0).flat()
    found = SystemTally.read(sound)
    assert (found.defective, found.good) == (3, 3)
    negative, more, sooner = sound.copy(), sound.copy(), sound.copy()
    negative[5], more[7] = -1, 1
    sooner[2 * BINS : 3 * BINS] = 0
    sooner[2 * BINS] = 3
    for wrong in (negative, more, sooner, sound[:-1]):
        with pytest.raises(FederationError, match="the system's counts that came"):
            SystemTally.read(wrong)
    assert sound.shape == (SYSTEM_LENGTH,)
