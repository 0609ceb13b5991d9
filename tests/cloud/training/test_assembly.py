"""How much the tail weighs beside the head."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.statistics.metrics import auroc
from cloud.training.assembly import TAIL_WEIGHTS, weigh

pytestmark = pytest.mark.torch


@given(st.integers(0, 2**32 - 1))
def test_the_weight_of_the_tail_never_makes_the_cloud_worse_than_the_tail(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(40) % 2 == 0
    head, tail = rng.uniform(0, 1, (2, 40))
    weight, combined = weigh(head, tail, labels)
    assert weight in TAIL_WEIGHTS
    assert auroc(combined, labels) >= auroc(tail, labels)


def test_a_perfect_tail_is_trusted_alone() -> None:
    labels = np.arange(40) % 2 == 0
    tail = np.where(labels, 0.9, 0.1)
    weight, combined = weigh(np.full(40, 0.5), tail, labels)
    assert weight == 1.0
    np.testing.assert_array_equal(combined, tail)
