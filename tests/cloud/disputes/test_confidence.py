"""Confident learning finds what was planted, and says nothing where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cloud.disputes.confidence import disputed_labels, out_of_fold
from shared.errors import DataError


def labelled(seed: int, count: int, flipped: int) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Every third part is defective; which `flipped` of them carry the other label."""
    wrong = np.random.default_rng(seed).choice(count, flipped, replace=False)
    return np.arange(count) % 3 == 0, wrong


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(60, 200), st.floats(0.0, 0.1), st.floats(0.0, 0.3))
def test_labels_that_clear_scores_contradict_are_found_and_no_other(
    seed: int, count: int, share: float, spread: float
) -> None:
    truth, wrong = labelled(seed, count, int(share * count))
    said = truth.copy()
    said[wrong] = ~said[wrong]
    assert set(disputed_labels(said, np.where(truth, 0.9, 0.1))) == set(wrong)
    noise = np.random.default_rng(seed).uniform(0, spread, count)
    assert set(disputed_labels(said, np.where(truth, 1 - noise, noise))) <= set(wrong)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 80))
def test_the_order_of_the_parts_does_not_matter(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.random(count) < 0.4, rng.random(count)
    labels[:2] = [True, False]
    found = set(disputed_labels(labels, scores).tolist())
    order = rng.permutation(count)
    shuffled = disputed_labels(labels[order], scores[order])
    assert {int(order[place]) for place in shuffled} == found


@pytest.mark.parametrize("label", [True, False])
def test_labels_that_are_all_the_same_are_not_disputed(label: bool) -> None:
    assert disputed_labels(np.full(9, label), np.linspace(0, 1, 9)).size == 0


def test_the_surest_comes_first() -> None:
    truth, _ = labelled(0, 90, 0)
    scores = np.where(truth, 0.8, 0.1)
    said = truth.copy()
    said[[3, 6, 9]] = False
    scores[[3, 6, 9]] = [0.9, 0.97, 0.85]
    assert disputed_labels(said, scores).tolist() == [6, 3, 9]


def test_a_label_is_judged_by_other_parts_alone() -> None:
    """Two pictures of one part carry the same wrong label: neither vouches for the other."""
    rng = np.random.default_rng(1)
    truth = np.arange(60) % 2 == 0
    features = np.where(truth, 2.0, -2.0)[:, None] + rng.normal(0, 0.3, (60, 3))
    said = truth.copy()
    said[[0, 2]] = False
    parts = ["twin" if place in {0, 2} else str(place) for place in range(60)]
    scores = out_of_fold(features.astype(np.float32), said, parts)
    assert (scores[[0, 2]] > 0.5).all()
    assert set(disputed_labels(said, scores).tolist()) == {0, 2}


def test_the_same_seed_divides_the_same_way() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(40, 4)).astype(np.float32)
    labels, parts = np.arange(40) % 4 == 0, [str(place) for place in range(40)]
    first, again = (out_of_fold(features, labels, parts, seed=3) for _ in range(2))
    assert (first == again).all()
    assert ((first >= 0) & (first <= 1)).all()


def test_parts_with_pictures_of_both_labels_are_judged_all_the_same() -> None:
    features = np.arange(12, dtype=np.float32)[:, None]
    labels = np.array([True, False] * 6)
    scores = out_of_fold(features, labels, ["a", "a", "b", "b", "c", "c"] * 2)
    assert np.isfinite(scores).all()


def test_a_kind_of_one_part_is_refused_with_what_is_needed() -> None:
    labels = np.array([True, True, False, False])
    with pytest.raises(DataError, match="1 defective and 2 good parts") as caught:
        out_of_fold(np.zeros((4, 2), np.float32), labels, ["a", "a", "b", "c"])
    assert "two parts of each" in caught.value.fix
