"""Scales on which box and cloud agree."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sketch import BINS, QUANTITIES, SCALES, Quantity, added, middle, total


@pytest.mark.parametrize("quantity", QUANTITIES)
@given(st.floats(allow_nan=False))
def test_every_number_has_a_bin_and_what_is_larger_none_below_it(
    quantity: Quantity, value: float
) -> None:
    scale = SCALES[quantity]
    at, above = scale.bin(value), scale.bin(max(value, 2 * value))
    assert at is not None
    assert above is not None
    assert 0 <= at < BINS
    assert at <= above


@pytest.mark.parametrize("quantity", QUANTITIES)
@given(st.integers(0, BINS - 1))
def test_the_middle_of_a_bin_lies_in_it(quantity: Quantity, at: int) -> None:
    scale = SCALES[quantity]
    assert scale.bin(scale.value(at + 0.5)) == at


def test_what_is_no_number_is_in_no_bin() -> None:
    assert SCALES["score"].bin(math.nan) is None


def test_counts_are_added_bin_by_bin() -> None:
    both = added([{1: 2, 3: 1}, {3: 4}])
    assert both == {1: 2, 3: 5}
    assert total(both) == 7


def test_the_median_is_found_to_within_a_bin() -> None:
    counts: dict[int, int] = {}
    for grey in range(100, 121):
        at = SCALES["brightness"].bin(grey)
        assert at is not None
        counts[at] = counts.get(at, 0) + 1
    found = middle("brightness", counts)
    assert found is not None
    assert abs(found - 110) <= 2
    assert middle("brightness", {}) is None
