"""One promise of the whole system: it holds on thousands of plants, and leaves little to people."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.certification.certificate import GRID, most_allowed, parts_needed
from shared.certification.gate import Gate, expit, logit
from shared.certification.prices import Prices, cheaper, cost_of
from shared.certification.scores import Scored
from shared.certification.thresholds import SystemLimits, choose_thresholds
from shared.errors import SettingsError
from tests.shared.certification.populations import (
    DELTA,
    POPULATIONS,
    Floats,
    Maker,
    Population,
    clustered,
    skewed,
    surely_above,
    tied,
    unrelated,
)
from tests.shared.certification.test_certificate import kinds

BEFORE = Gate(0.1, 0.9, 0.5, 0.75)
LIMITS = SystemLimits(escape=0.1, false_reject=0.05, delta=DELTA)
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
# So many that the errors allowed among them come as near to delta as can be.
DEFECTIVE, GOOD = parts_needed(2, LIMITS.escape, DELTA), parts_needed(2, LIMITS.false_reject, DELTA)


def broken_with(
    make: Maker, seed: int, *, weights: Iterable[float] = (1.0,), counted: int = 1
) -> NDArray[np.bool_]:
    """Whether each promise was broken, bool (POPULATIONS, 2): the cheapest gate at random prices,
    among as many weights of the tail; `counted`: as how many the test counts them."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(POPULATIONS):
        plants = make(rng, rng.uniform(0.6, 0.9)), make(rng, rng.uniform(0.1, 0.4))
        samples = plants[0].sample(rng, DEFECTIVE), plants[1].sample(rng, GOOD)
        prices = Prices(1.0, *(10 ** rng.uniform(-6, 0, 2)).tolist())
        found = []
        for weight in weights:
            scored = weighed(samples[0], weight), weighed(samples[1], weight)
            chosen = choose_thresholds(scored, LIMITS, BEFORE, weights_compared=counted)
            if chosen is not None:
                gate = cheaper(chosen.gate, scored, prices, 1.0)
                found.append((cost_of(gate, scored, prices, 1.0), weight, gate))
        if not found:
            rows.append((False, False))
            continue
        _, weight, gate = min(found, key=lambda one: one[:2])
        defective, good = (
            Population(one.edge, weighed_scores(one.edge, one.cloud, weight)) for one in plants
        )
        rows.append(
            (
                defective.passed(gate, with_cloud=gate.escalates) > LIMITS.escape,
                good.rejected(gate, with_cloud=gate.escalates) > LIMITS.false_reject,
            )
        )
    return np.array(rows)


def weighed(scored: Scored, weight: float) -> Scored:
    return Scored(scored.part, scored.edge, weighed_scores(scored.edge, scored.cloud, weight))


def weighed_scores(edge: Floats, tail: Floats, weight: float) -> Floats:
    if weight == 1.0:
        return tail
    kept = (np.clip(scores, 1e-6, 1 - 1e-6) for scores in (edge, tail))
    head, deep = (np.log(one / (1 - one)) for one in kept)
    return np.asarray(1 / (1 + np.exp(-(weight * deep + (1 - weight) * head))))


@cache
def simulate(make: Maker) -> NDArray[np.bool_]:
    return broken_with(make, 0)


@pytest.mark.parametrize("make", [skewed, tied, clustered, unrelated])
def test_neither_promise_is_broken_more_often_than_it_says_whatever_things_cost(
    make: Maker,
) -> None:
    escapes, false_rejects = simulate(make).T
    assert not surely_above(escapes)
    assert not surely_above(false_rejects)


def test_the_promises_hold_for_the_cheapest_of_several_weights_of_the_tail() -> None:
    escapes, false_rejects = broken_with(skewed, 1, weights=WEIGHTS, counted=len(WEIGHTS)).T
    assert not surely_above(escapes)
    assert not surely_above(false_rejects)


def test_a_weight_that_these_parts_chose_unpaid_for_comes_nearer_to_delta() -> None:
    """What paying for the choice is for: the share that it costs is seen."""
    unpaid = broken_with(skewed, 1, weights=WEIGHTS[:2], counted=1).mean()
    paid = broken_with(skewed, 1, weights=WEIGHTS[:2], counted=2).mean()
    assert paid < unpaid


@pytest.mark.parametrize("make", [skewed, clustered, unrelated])
def test_the_promises_are_not_kept_by_being_timid(make: Maker) -> None:
    escapes, false_rejects = simulate(make).T
    assert escapes.mean() > 0.5 * DELTA
    assert false_rejects.mean() > 0.4 * DELTA


def counted_wrong(gate: Gate, defective: Scored, good: Scored) -> tuple[int, int]:
    with_cloud = gate.escalates
    return (
        defective.passed(gate, with_cloud=with_cloud),
        good.rejected(gate, with_cloud=with_cloud),
    )


@given(kinds(), kinds(), st.booleans(), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_no_more_of_the_tested_parts_are_decided_wrong_than_the_tests_allow(
    defective: Scored, good: Scored, with_cloud: bool, escape: float, false_reject: float
) -> None:
    limits = SystemLimits(escape, false_reject, DELTA)
    chosen = choose_thresholds((defective, good), limits, BEFORE, with_cloud=with_cloud)
    allowed = (
        most_allowed(defective.parts, escape, DELTA),
        most_allowed(good.parts, false_reject, DELTA),
    )
    assert (chosen is None) == (min(allowed) < 0)
    if chosen is None:
        return
    wrong = counted_wrong(chosen.gate, defective, good)
    counted = chosen.passing.counted, chosen.rejecting.counted
    for seen, tested, most in zip(wrong, counted, allowed, strict=True):
        assert seen <= tested <= most
    assert chosen.gate.tail_weight == BEFORE.tail_weight
    assert chosen.gate.escalates == with_cloud


@given(kinds(), kinds())
def test_every_part_is_passed_rejected_or_reviewed(defective: Scored, good: Scored) -> None:
    chosen = choose_thresholds((defective, good), SystemLimits(0.3, 0.3, DELTA), BEFORE)
    assert chosen is not None
    for kind in (defective, good):
        gate = chosen.gate
        reviewed = kind.reviewed(gate)
        for index, sent in enumerate(kind.escalated(gate)):
            concluded = gate.conclude(float(kind.cloud[index]))
            assert reviewed[index] == (sent and concluded == "review")


def separate(rng: np.random.Generator, parts: int, apart: float) -> tuple[Scored, Scored]:
    """Defective and good parts whose scores hardly overlap."""
    found = []
    for middle in (apart, -apart):
        odds = rng.normal(middle, 1, parts)
        part = np.arange(parts)
        edge, cloud = (1 / (1 + np.exp(-(odds + rng.normal(0, 0.3, parts)))) for _ in range(2))
        found.append(Scored(part, edge, cloud))
    return found[0], found[1]


def test_on_parts_that_are_nearly_separate_the_cloud_neither_passes_nor_rejects_all() -> None:
    defective, good = separate(np.random.default_rng(0), 2000, 4.0)
    chosen = choose_thresholds((defective, good), SystemLimits(0.015, 0.015, 0.05), BEFORE)
    assert chosen is not None
    gate = chosen.gate
    assert gate.cloud_pass_below is not None
    assert 0.01 < gate.cloud_pass_below <= gate.cloud_reject_from < 0.99
    assert defective.parts_reviewed(gate) + good.parts_reviewed(gate) == 0
    assert counted_wrong(gate, defective, good) == (0, 0)


def test_where_the_cloud_settles_nothing_nothing_is_escalated() -> None:
    rng = np.random.default_rng(1)
    defective, good = separate(rng, 500, 1.0)
    shuffled = (
        Scored(defective.part, defective.edge, rng.uniform(size=500)),
        Scored(good.part, good.edge, rng.uniform(size=500)),
    )
    chosen = choose_thresholds(shuffled, SystemLimits(0.05, 0.05, 0.05), BEFORE)
    assert chosen is not None
    dear = Prices(1.0, 0.9, 1e-6)
    gate = cheaper(chosen.gate, shuffled, dear, 1000.0)
    assert not gate.escalates
    assert cost_of(gate, shuffled, dear, 1000.0) <= cost_of(chosen.gate, shuffled, dear, 1000.0)
    # Where asking is nearly free, even the little that it settles pays.
    assert cheaper(chosen.gate, shuffled, Prices(1.0, 1e-9, 1e-12), 1000.0).escalates


def test_a_cost_is_what_is_reviewed_and_asked_at_its_price() -> None:
    gate = Gate(0.2, 0.8, 0.6, 1.0, 0.4)
    edge = np.array([0.1, 0.3, 0.5, 0.9])
    cloud = np.array([0.9, 0.3, 0.5, 0.1])
    kind = Scored(np.arange(4), edge, cloud)
    assert cost_of(gate, [kind], Prices(1.0, 0.1, 0.01), 5.0) == pytest.approx((1 + 2 * 0.15) / 4)
    alone = gate.without_cloud()
    assert cost_of(alone, [kind], Prices(1.0, 0.1, 0.01), 5.0) == pytest.approx(2 / 4)


def test_scores_that_are_all_equal_leave_every_part_to_a_person() -> None:
    same = Scored(np.arange(100), np.full(100, 0.5), np.full(100, 0.5))
    chosen = choose_thresholds((same, same), LIMITS, BEFORE)
    assert chosen is not None
    assert same.parts_reviewed(chosen.gate) == 100


def test_scores_that_are_no_numbers_are_left_to_a_person() -> None:
    nothing = np.full(100, math.nan)
    blind = Scored(np.arange(100), nothing, nothing)
    chosen = choose_thresholds((blind, blind), LIMITS, BEFORE)
    assert chosen is not None
    assert blind.parts_reviewed(chosen.gate) == 100
    assert chosen.gate.conclude(math.nan) == "review"


def test_one_kind_alone_gives_no_gate() -> None:
    some = Scored(np.arange(100), np.full(100, 0.5), np.full(100, 0.5))
    none = Scored(np.array([], np.intp), np.array([]), np.array([]))
    assert choose_thresholds((some, none), LIMITS, BEFORE) is None
    assert choose_thresholds((none, some), LIMITS, BEFORE) is None


def test_where_both_scores_are_one_the_edge_follows_the_cloud_a_margin_behind() -> None:
    odds = np.linspace(-6, 6, 1000)
    scores = np.array([expit(one) for one in odds.tolist()])
    good = Scored(np.arange(1000), scores, scores)
    bad = Scored(np.arange(1000), scores[::-1] ** 0.05, scores[::-1] ** 0.05)
    chosen = choose_thresholds((bad, good), LIMITS, BEFORE)
    assert chosen is not None
    passing = chosen.passing
    assert logit(passing.cloud) - logit(passing.edge) == pytest.approx(0.25, abs=0.1)
    assert passing.cloud in GRID


@pytest.mark.parametrize(
    ("escape", "false_reject", "delta", "said"),
    [
        (0.0, 0.05, 0.05, "the limit escape is 0.0"),
        (0.1, 1.0, 0.05, "the limit false_reject is 1.0"),
        (0.1, 0.05, math.nan, "the limit delta is nan"),
        (0.6, 0.4, 0.05, "a coin keeps both"),
    ],
)
def test_shares_that_promise_nothing_are_refused(
    escape: float, false_reject: float, delta: float, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        SystemLimits(escape, false_reject, delta)


@pytest.mark.parametrize("name", ["review", "escalation", "byte"])
@pytest.mark.parametrize("price", [0.0, -1.0, math.inf, math.nan])
def test_a_price_of_nothing_or_less_is_refused(name: str, price: float) -> None:
    with pytest.raises(SettingsError, match=f"the price of one {name} is {price}"):
        Prices(**{name: price})
