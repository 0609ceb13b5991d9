"""The gate."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shared.certification.gate import SUREST, Gate, choose_gate
from shared.contracts import Decision
from shared.errors import SettingsError

scores = st.floats(0, 1)
targets = st.floats(0, 0.5)


class Sample(NamedTuple):
    """Head scores of parts whose labels are known; both kinds are there."""

    edge: NDArray[np.float64]
    defective: NDArray[np.bool_]


@st.composite
def samples(draw: st.DrawFn, width: int = 64) -> Sample:
    size = draw(st.integers(2, 60))
    kind = np.float32 if width == 32 else np.float64
    edge = draw(hnp.arrays(kind, size, elements=st.floats(0, 1, width=width)))  # type: ignore[arg-type]
    defective = draw(hnp.arrays(bool, size))
    assume(defective.any() and not defective.all())
    return Sample(edge, defective)


def decisions(gate: Gate, sample: Sample) -> NDArray[np.str_]:
    return np.array([gate.decide(float(score)) for score in sample.edge])


@given(samples() | samples(width=32), targets, targets)
def test_a_chosen_gate_meets_both_targets_on_its_samples(
    sample: Sample, escapes: float, overkill: float
) -> None:
    gate = choose_gate(
        *sample, escape_target=escapes, overkill_target=overkill, cloud_reject_from=0.5
    )
    found = decisions(gate, sample)
    assert (found[sample.defective] == Decision.PASS).mean() <= escapes
    assert (found[~sample.defective] == Decision.REJECT).mean() <= overkill


@given(samples())
def test_samples_that_a_threshold_separates_are_never_escalated(sample: Sample) -> None:
    separable = sample._replace(edge=np.where(sample.defective, 0.5 + sample.edge / 2, 0.499))
    gate = choose_gate(*separable, escape_target=0, overkill_target=0, cloud_reject_from=0.5)
    found = decisions(gate, separable)
    np.testing.assert_array_equal(found == Decision.REJECT, separable.defective)
    np.testing.assert_array_equal(found == Decision.PASS, ~separable.defective)


@given(samples(), targets)
def test_a_laxer_target_escalates_no_more(sample: Sample, target: float) -> None:
    def escalated(escape_target: float) -> float:
        gate = choose_gate(
            *sample, escape_target=escape_target, overkill_target=0.0, cloud_reject_from=0.5
        )
        return float((decisions(gate, sample) == Decision.ESCALATE).mean())

    assert escalated(target) <= escalated(0.0)


@given(scores, scores, scores, scores)
def test_a_score_is_decided_by_where_it_lies(a: float, b: float, tail: float, score: float) -> None:
    gate = Gate(min(a, b), max(a, b), tail)
    wanted = (
        Decision.PASS
        if score < gate.pass_below
        else Decision.REJECT
        if score >= gate.reject_from
        else Decision.ESCALATE
    )
    assert gate.decide(score) == wanted
    assert gate.conclude(score) == ("pass" if score < tail else "reject")


@given(scores, scores, scores)
def test_a_score_that_is_no_number_fails_safe(a: float, b: float, tail: float) -> None:
    gate = Gate(min(a, b), max(a, b), tail)
    assert gate.decide(math.nan) == Decision.ESCALATE
    assert gate.conclude(math.nan) == "reject"


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.5), (math.nan, 0.5), (0.5, math.nan)])
def test_thresholds_in_the_wrong_order_are_refused(low: float, high: float) -> None:
    with pytest.raises(SettingsError, match="pass_below must not lie above"):
        Gate(low, high, 0.5)


@pytest.mark.parametrize("defective", [True, False])
def test_one_kind_alone_gives_no_gate(defective: bool) -> None:
    with pytest.raises(SettingsError, match="needs both kinds"):
        choose_gate(
            np.array([0.1, 0.9]),
            np.array([defective, defective]),
            escape_target=0.1,
            overkill_target=0.1,
            cloud_reject_from=0.5,
        )


scores01 = st.floats(0, 1)


@given(scores01, scores01, st.floats(0, 1))
def test_the_cloud_score_lies_between_both_halves(head: float, tail: float, weight: float) -> None:
    found = Gate(0.2, 0.8, 0.5, weight).cloud_score(head, tail)
    low, high = sorted((head, tail))
    assert low - 2 * SUREST <= found <= high + 2 * SUREST


@given(scores01, scores01)
def test_a_tail_that_counts_alone_is_not_touched(head: float, tail: float) -> None:
    assert Gate(0.2, 0.8, 0.5).cloud_score(head, tail) == tail


@pytest.mark.parametrize("head", [float("nan"), float("inf")])
def test_a_head_without_an_opinion_leaves_it_to_the_tail(head: float) -> None:
    assert Gate(0.2, 0.8, 0.5, 0.5).cloud_score(head, 0.9) == 0.9


def test_a_tail_without_an_opinion_rejects_whatever_the_head_said() -> None:
    gate = Gate(0.2, 0.8, 0.5, 0.5)
    assert gate.conclude(gate.cloud_score(0.0, float("nan"))) == "reject"


def test_a_weight_beyond_its_range_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"tail_weight is 1\.5"):
        Gate(0.2, 0.8, 0.5, 1.5)
