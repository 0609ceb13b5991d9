"""Counts over thresholds that add up over devices."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shared.certification.certificate import BINS, GRID, PromiseLimits
from shared.certification.gate import Gate
from shared.certification.ranking import auroc
from shared.certification.scores import Scored
from shared.certification.tally import LENGTH, ScoreTally
from shared.errors import FederationError
from tests.shared.certification.one_place import choose

BEFORE = Gate(0.2, 0.8, 0.5, 0.75)
EASY = PromiseLimits(escapes=0.2, overkill=0.2, system=0.4, delta=0.1)


@st.composite
def parts(draw: st.DrawFn, least: int, most: int) -> Scored:
    """Parts of one to three pictures; scores that are often equal, and some that are none."""
    count, pictures = draw(st.integers(least, most)), draw(st.integers(1, 3))
    some = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, float(GRID[1000]), math.nan])
    values = draw(st.sampled_from([some, st.floats(0, 1), st.floats(0, 1) | st.just(math.nan)]))
    part = np.repeat(np.arange(count), pictures)
    edge = draw(hnp.arrays(np.float64, len(part), elements=values))
    return Scored(part, edge, edge)


def together(several: list[Scored]) -> Scored:
    """The same parts in one place."""
    starts = np.cumsum([0, *(one.parts for one in several)])
    part = [one.part + start for one, start in zip(several, starts, strict=False)]
    edge = np.concatenate([one.edge for one in several])
    return Scored(np.concatenate(part), edge, edge)


@given(st.lists(st.tuples(parts(0, 25), parts(0, 25)), min_size=1, max_size=4))
def test_summed_counts_choose_the_very_gate_that_the_scores_together_would(
    devices: list[tuple[Scored, Scored]],
) -> None:
    summed = ScoreTally.read(reduce(add, (ScoreTally.of(*one).flat() for one in devices)))
    defective, good = (together([one[kind] for one in devices]) for kind in (0, 1))
    wanted, found = choose(defective, good, EASY, BEFORE), summed.gate(EASY)
    if wanted is None or found is None:
        assert wanted is None
        assert found is None
        return
    assert (found.pass_below, found.reject_from) == (
        wanted.gate.pass_below,
        wanted.gate.reject_from,
    )
    assert (found.escapes, found.overkill) == (wanted.escapes, wanted.overkill)
    gate = wanted.gate
    assert summed.defective.passed_by(gate) == defective.passed(gate, with_cloud=False)
    assert summed.good.rejected_by(gate) == good.rejected(gate, with_cloud=False)


@given(parts(1, 40), parts(1, 40), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_plain_gate_keeps_its_targets_on_the_parts_that_it_was_chosen_on(
    defective: Scored, good: Scored, escapes: float, overkill: float
) -> None:
    gate = ScoreTally.of(defective, good).plain_gate(BEFORE, escapes, overkill)
    assert defective.passed(gate, with_cloud=False) <= escapes * defective.parts + 1e-6
    assert good.rejected(gate, with_cloud=False) <= overkill * good.parts + 1e-6
    assert (gate.cloud_reject_from, gate.tail_weight) == (0.5, 0.75)


@given(hnp.arrays(np.float64, 60, elements=st.floats(0.001, 0.999)))
def test_the_auroc_of_counts_is_that_of_scores_but_for_ties_within_a_step(
    scores: NDArray[np.float64],
) -> None:
    labels = np.arange(60) % 3 == 0
    bad, good = (Scored(np.arange(n.sum()), scores[n], scores[n]) for n in (labels, ~labels))
    steps = np.searchsorted(GRID, scores, side="right")
    assert ScoreTally.of(bad, good).auroc() == pytest.approx(auroc(steps.astype(float), labels))


def test_counts_that_no_device_can_have_counted_are_refused() -> None:
    sound = ScoreTally.of(*[Scored(np.arange(3), np.full(3, 0.4), np.full(3, 0.4))] * 2).flat()
    assert ScoreTally.read(sound).pictures == 6
    negative, moved, few = sound.copy(), sound.copy(), sound.copy()
    negative[5], moved[BINS + 1], few[-1] = -1, 7, 5
    for wrong in (negative, moved, few, sound[:-1]):
        with pytest.raises(FederationError, match="counts that came"):
            ScoreTally.read(wrong)
    assert sound.shape == (LENGTH,)


def test_a_gate_needs_both_kinds_of_parts() -> None:
    some = Scored(np.arange(3), np.full(3, 0.4), np.full(3, 0.4))
    none = Scored(np.zeros(0, np.intp), np.zeros(0), np.zeros(0))
    with pytest.raises(FederationError, match="3 good and 0 defective parts"):
        ScoreTally.of(none, some).plain_gate(BEFORE, 0.1, 0.1)
    assert ScoreTally.of(none, some).gate(EASY) is None
    assert math.isnan(ScoreTally.of(none, some).auroc())
