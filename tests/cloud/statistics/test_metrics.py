"""Metrics of a detector, whatever the scores."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from cloud.statistics.metrics import auroc, average_precision, best_threshold, threshold_at


class Scored(NamedTuple):
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]


@st.composite
def scored(draw: st.DrawFn) -> Scored:
    size = draw(st.integers(1, 30))
    # A few values only, so that ties are common, or any at all.
    few = st.sampled_from([0.0, 0.1, 0.5, 1.0])
    scores = draw(
        hnp.arrays(np.float64, size, elements=draw(st.sampled_from([few, st.floats(0, 1)])))
    )
    return Scored(scores, draw(hnp.arrays(bool, size)))


@given(scored())
def test_auroc_is_how_often_a_defective_part_scores_above_a_good_one(case: Scored) -> None:
    bad, good = case.scores[case.labels], case.scores[~case.labels]
    if not len(bad) or not len(good):
        assert math.isnan(auroc(*case))
        return
    pairs = [1.0 if b > g else 0.5 if b == g else 0.0 for b in bad for g in good]
    assert auroc(*case) == pytest.approx(np.mean(pairs))


@given(scored())
def test_average_precision_is_the_area_below_precision_over_recall(case: Scored) -> None:
    if not case.labels.any():
        assert math.isnan(average_precision(*case))
        return
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(case.scores.tolist()), reverse=True):
        called = case.scores >= threshold
        recall = case.labels[called].sum() / case.labels.sum()
        area += (recall - recall_before) * case.labels[called].mean()
        recall_before = recall
    assert average_precision(*case) == pytest.approx(area)


@given(scored())
def test_no_threshold_is_right_more_often_than_the_best(case: Scored) -> None:
    def right(threshold: float) -> int:
        return int(((case.scores >= threshold) == case.labels).sum())

    best = right(best_threshold(*case))
    assert best == max(right(t) for t in [*case.scores.tolist(), 2.0])


@given(scored(), st.sampled_from([0.0, 0.05, 0.29, 0.5]))
def test_no_lower_threshold_keeps_overkill_within_its_limit(case: Scored, most: float) -> None:
    good = ~case.labels

    def within(threshold: float) -> bool:
        return int((case.scores[good] >= threshold).sum()) <= most * int(good.sum()) + 1e-9

    threshold = threshold_at(*case, most)
    if threshold is None:
        assert not good.any()
        return
    assert within(threshold)
    assert not any(within(score) for score in case.scores[good] if score < threshold)


def test_what_the_gate_has_decided_no_threshold_moves() -> None:
    labels = np.array([False, False, False, True, True])
    always = np.array([np.inf, 0.2, 0.1, -np.inf, 0.5])
    assert threshold_at(always, labels, 0.0) is None
    threshold = threshold_at(always, labels, 0.34)
    assert threshold is not None
    assert 0.2 < threshold < 0.5


def test_neighbouring_floats_are_still_separated() -> None:
    low = 0.5
    scores = np.array([low, np.nextafter(low, 1)])
    for one in (scores, scores.astype(np.float64) * 0.75):
        threshold = best_threshold(one, np.array([False, True]))
        assert (one >= threshold).tolist() == [False, True]
