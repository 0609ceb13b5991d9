"""The statistics behind a certificate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.stats import beta, binom

from shared.certification.certificate import (
    GRID,
    PromiseLimits,
    below,
    binned,
    binomial_tails,
    bins,
    counted_together,
    edge_bin,
    escaping,
    fixed_sequence,
    interval,
    most_allowed,
    paid_at_edge,
    parts_needed,
    upper_bound,
)
from shared.certification.gate import Gate
from shared.certification.scores import Scored
from shared.errors import SettingsError
from tests.shared.certification.one_place import choose, pass_below, passing, reject_from

BEFORE = Gate(0.2, 0.8, 0.5, 0.75)
EASY = PromiseLimits(escapes=0.2, overkill=0.2, system=0.4, delta=0.1)
rates = st.floats(1e-4, 0.9999)
deltas = st.floats(1e-4, 0.5)


def scored(edge: NDArray[np.float64], cloud: NDArray[np.float64] | None = None) -> Scored:
    """One picture a part."""
    return Scored(np.arange(len(edge)), edge, edge if cloud is None else cloud)


@st.composite
def kinds(draw: st.DrawFn) -> Scored:
    """Parts of one to three pictures; scores that are often equal, and some that are none."""
    parts = draw(st.integers(25, 60))
    pictures = draw(st.integers(1, 3))
    part = np.repeat(np.arange(parts), pictures)
    some = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, math.nan])
    values = draw(st.sampled_from([some, st.floats(0, 1), st.floats(0, 1) | st.just(math.nan)]))
    edge, cloud = (draw(hnp.arrays(np.float64, len(part), elements=values)) for _ in range(2))
    return Scored(part, edge, cloud)


@given(st.integers(0, 3000), rates)
def test_tails_are_the_binomial_distributions(parts: int, rate: float) -> None:
    wanted = binom.cdf(np.arange(parts + 1), parts, rate)
    np.testing.assert_allclose(binomial_tails(parts, rate), wanted, rtol=1e-9, atol=1e-30)


def test_tails_of_a_hundred_thousand_parts_are_still_exact() -> None:
    wanted = binom.cdf(np.arange(100_001), 100_000, 0.003)
    np.testing.assert_allclose(binomial_tails(100_000, 0.003), wanted, rtol=1e-9, atol=1e-30)


def test_shared_tails_cannot_be_changed_by_who_asks_for_them() -> None:
    with pytest.raises(ValueError, match="read-only"):
        binomial_tails(10, 0.1)[0] = 1.0


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), deltas)
def test_bounds_are_clopper_and_pearsons(case: tuple[int, int], delta: float) -> None:
    count, parts = case
    upper = 1.0 if count == parts else beta.ppf(1 - delta, count + 1, parts - count)
    lower = 0.0 if count == 0 else beta.ppf(delta / 2, count, parts - count + 1)
    assert upper_bound(count, parts, delta) == pytest.approx(upper, abs=1e-9)
    low, high = interval(count, parts, delta)
    assert low == pytest.approx(lower, abs=1e-9)
    assert high == pytest.approx(upper_bound(count, parts, delta / 2))
    assert 0 <= low <= count / parts <= high <= 1


@pytest.mark.parametrize(
    ("limit", "needed"),
    [(0.02, [149, 236, 313]), (0.01, [299, 473, 628]), (0.005, [598, 947, 1258])],
)
def test_as_many_parts_are_needed_as_the_books_say(limit: float, needed: list[int]) -> None:
    assert [parts_needed(count, limit, 0.05) for count in range(3)] == needed


@given(st.integers(0, 20), st.floats(0.002, 0.9), st.floats(1e-3, 0.5))
def test_one_part_fewer_than_needed_is_too_few(count: int, limit: float, delta: float) -> None:
    needed = parts_needed(count, limit, delta)
    assert most_allowed(needed, limit, delta) >= count
    assert most_allowed(needed - 1, limit, delta) < count


@given(st.integers(0, 300), rates, deltas)
def test_the_most_that_is_allowed_is_shown_and_one_more_is_not(
    parts: int, limit: float, delta: float
) -> None:
    allowed = most_allowed(parts, limit, delta)
    assert -1 <= allowed < max(parts, 1)
    if allowed >= 0:
        assert binom.cdf(allowed, parts, limit) <= delta * (1 + 1e-9)
    assert binom.cdf(allowed + 1, parts, limit) > delta * (1 - 1e-9)


def test_the_sequence_ends_at_the_first_failure_whatever_comes_after() -> None:
    assert fixed_sequence(np.array([0, 0, 9, 0, 0]), 60, 0.05, 0.05) == 2
    assert fixed_sequence(np.array([9, 0]), 60, 0.05, 0.05) == 0
    assert fixed_sequence(np.array([0, 0]), 60, 0.05, 0.05) == 2
    assert fixed_sequence(np.array([0, 0]), 58, 0.05, 0.05) == 0


@given(kinds(), kinds())
def test_a_chosen_gate_errs_no_more_often_than_its_tests_allow(
    defective: Scored, good: Scored
) -> None:
    chosen = choose(defective, good, EASY, BEFORE)
    assert chosen is not None
    gate = chosen.gate
    assert gate.tail_weight == BEFORE.tail_weight
    assert defective.passed(gate, with_cloud=False) <= chosen.escapes.counted
    assert chosen.escapes.counted <= most_allowed(defective.parts, EASY.escapes, EASY.delta)
    assert good.rejected(gate, with_cloud=False) <= chosen.overkill.counted
    assert chosen.overkill.counted <= most_allowed(good.parts, EASY.overkill, EASY.delta)
    if chosen.system is None:
        assert gate.cloud_reject_from == BEFORE.cloud_reject_from
    else:
        assert defective.passed(gate, with_cloud=True) <= chosen.system.counted
        assert chosen.system.counted <= most_allowed(defective.parts, EASY.system, EASY.delta)


@given(kinds())
def test_the_next_threshold_would_no_longer_be_shown_safe(kind: Scored) -> None:
    allowed = most_allowed(kind.parts, EASY.escapes, EASY.delta)
    lowest, highest = (
        pass_below(kind, EASY.escapes, EASY.delta),
        reject_from(kind, EASY.overkill, EASY.delta),
    )
    assert lowest is not None
    assert highest is not None
    place = int(np.searchsorted(GRID, lowest.threshold))
    if place + 1 < len(GRID):
        assert (kind.first_to_pass() < GRID[place + 1]).sum() > allowed
    place = int(np.searchsorted(GRID, highest.threshold))
    if place > 0:
        assert (kind.first_to_reject() >= GRID[place - 1]).sum() > allowed


@given(kinds(), kinds())
def test_thresholds_come_from_a_grid_that_no_score_has_shaped(
    defective: Scored, good: Scored
) -> None:
    chosen = choose(defective, good, EASY, BEFORE)
    assert chosen is not None
    assert {chosen.gate.pass_below, chosen.gate.reject_from} <= set(GRID.tolist())
    assert (np.diff(GRID) > 0).all()
    assert GRID[0] == 0
    assert GRID[-1] > 1


@given(st.integers(30, 60), st.integers(0, 2**31))
def test_parts_that_a_threshold_separates_are_never_escalated(parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    defective, good = scored(rng.uniform(0.6, 0.99, parts)), scored(rng.uniform(0.01, 0.4, parts))
    chosen = choose(defective, good, EASY, BEFORE)
    assert chosen is not None
    assert chosen.gate.pass_below == chosen.gate.reject_from
    assert not defective.escalated(chosen.gate).any()
    assert not good.escalated(chosen.gate).any()
    assert chosen.gate.pass_below <= chosen.escapes.threshold
    assert chosen.gate.reject_from >= chosen.overkill.threshold
    assert chosen.system is not None


@given(kinds())
def test_a_part_counts_once_however_many_of_its_pictures_err(kind: Scored) -> None:
    gate = Gate(0.2, 0.8, 0.5)
    edge, cloud = (np.split(scores, kind.parts) for scores in (kind.edge, kind.cloud))
    passed = [bool((one < 0.2).any()) for one in edge]
    sent = [~(one < 0.2) & ~(one >= 0.8) for one in edge]
    through = [
        bool((s & (c < 0.5)).any()) or p for s, c, p in zip(sent, cloud, passed, strict=True)
    ]
    rejected = [bool((one >= 0.8).any()) for one in edge]
    stopped = [
        bool((s & ~(c < 0.5)).any()) or r for s, c, r in zip(sent, cloud, rejected, strict=True)
    ]
    assert kind.passed(gate, with_cloud=False) == sum(passed)
    assert kind.passed(gate, with_cloud=True) == sum(through)
    assert kind.rejected(gate, with_cloud=False) == sum(rejected)
    assert kind.rejected(gate, with_cloud=True) == sum(stopped)


def test_a_picture_without_a_score_escalates_and_without_the_clouds_is_rejected() -> None:
    none = np.full(40, math.nan)
    broken = scored(none, none)
    gate = Gate(0.5, 0.5, 0.5)
    assert broken.escalated(gate).all()
    assert broken.passed(gate, with_cloud=True) == 0
    assert broken.rejected(gate, with_cloud=False) == 0
    assert broken.rejected(gate, with_cloud=True) == 40
    infinite = scored(np.full(40, math.inf), np.zeros(40))
    assert infinite.rejected(gate, with_cloud=False) == 0
    assert infinite.passed(gate, with_cloud=True) == 40


@given(kinds(), st.floats(0, 1), st.integers(0, 2**31))
def test_the_system_counts_no_fewer_than_any_order_of_ties_would(
    defective: Scored, reject_from: float, seed: int
) -> None:
    """The test of docs/decisions/0012 draws that order; the largest count needs no draw."""
    passed = passing(defective)
    end = edge_bin(passed, defective.parts, EASY)
    tied, later = escaping(defective, reject_from, end)
    found = counted_together(tied, later, defective.parts, EASY)
    paid = paid_at_edge(defective.parts, EASY)
    place = bins(defective.first_to_pass())
    order = np.lexsort((np.random.default_rng(seed).random(len(place)), place))
    cloud = defective.first_to_pass_cloud(reject_from)[order[paid:]]
    assert (found >= paid + below(binned(cloud))).all()
    # And no more than that of some order: of the tied, those that the cloud passes last.
    worst = np.lexsort((-defective.first_to_pass_cloud(reject_from), place))
    cloud = defective.first_to_pass_cloud(reject_from)[worst[paid:]]
    np.testing.assert_array_equal(found, paid + below(binned(cloud)))


@given(kinds())
def test_whatever_passes_at_the_edge_is_paid_for(defective: Scored) -> None:
    edge = pass_below(defective, EASY.escapes, EASY.delta)
    assert edge is not None
    end = edge_bin(passing(defective), defective.parts, EASY)
    place = bins(defective.first_to_pass())
    assert (place[defective.first_to_pass() < edge.threshold] < end).all()
    paid = paid_at_edge(defective.parts, EASY)
    assert (place < end).sum() < paid <= (place <= end).sum()


@pytest.mark.parametrize("score", [1.0, math.nan])
def test_a_head_that_says_the_same_of_all_defective_parts_leaves_them_to_the_cloud(
    score: float,
) -> None:
    good, cloud = scored(np.ones(60)), np.linspace(0.9, 1.0, 60)
    chosen = choose(scored(np.full(60, score), cloud), good, EASY, BEFORE)
    assert chosen is not None
    assert chosen.system is not None
    assert chosen.system.counted >= paid_at_edge(60, EASY)
    assert chosen.gate.cloud_reject_from > 0.9
    # A cloud that passes them all can't be promised, whatever its threshold.
    blind = choose(scored(np.full(60, score), np.zeros(60)), good, EASY, BEFORE)
    assert blind is not None
    assert blind.system is not None
    assert blind.system.threshold == 0


@given(kinds(), kinds(), st.integers(2, 8))
def test_a_choice_among_tail_weights_is_paid_for(
    defective: Scored, good: Scored, weights: int
) -> None:
    once = choose(defective, good, EASY, BEFORE)
    shared = choose(defective, good, EASY, BEFORE, weights)
    assert once is not None
    assert shared is not None
    assert shared.escapes == once.escapes
    if shared.system is not None:
        assert once.system is not None
        assert shared.system.threshold <= once.system.threshold
        allowed = most_allowed(defective.parts, EASY.system, EASY.delta / weights)
        assert shared.system.counted <= allowed


@given(st.integers(0, 200), st.integers(0, 200))
@example(59, 29)
@example(58, 29)
@example(59, 28)
def test_too_few_parts_of_either_kind_give_no_gate(defective: int, good: int) -> None:
    limits = PromiseLimits(escapes=0.05, overkill=0.1, system=0.1, delta=0.05)
    enough = defective >= 59 and good >= 29
    found = choose(
        scored(np.linspace(0, 1, defective)), scored(np.linspace(0, 1, good)), limits, BEFORE
    )
    assert (found is not None) == enough


@pytest.mark.parametrize("name", ["escapes", "overkill", "system", "delta"])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, math.nan])
def test_a_limit_that_is_no_share_is_refused(name: str, value: float) -> None:
    wanted = {"escapes": 0.01, "overkill": 0.05, "system": 0.02, "delta": 0.05} | {name: value}
    with pytest.raises(SettingsError, match=rf"{name} is {value}; it must lie between 0 and 1"):
        PromiseLimits(**wanted)


def test_a_system_that_should_let_through_less_than_its_edge_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"can't let through 0\.01, the edge alone 0\.01"):
        PromiseLimits(escapes=0.01, overkill=0.05, system=0.01, delta=0.05)
