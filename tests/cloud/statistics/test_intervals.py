"""Intervals hold the truth as often as they say, by part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.statistics.intervals import auroc_interval, exact_interval, part_rate
from cloud.statistics.metrics import auroc

areas = st.floats(0, 1)
counts = st.integers(1, 400)


@pytest.mark.parametrize(
    ("wrong", "of", "low", "high"),
    # R's binom.test.
    [(3, 13, 0.0503811, 0.5381315), (0, 28, 0.0, 0.1234361), (13, 13, 0.7529474, 1.0)],
)
def test_a_share_has_the_exact_interval(wrong: int, of: int, low: float, high: float) -> None:
    found = exact_interval(wrong, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


@given(areas, counts, counts)
def test_an_auroc_lies_within_its_interval(area: float, bad: int, good: int) -> None:
    found = auroc_interval(area, bad, good)
    assert 0 <= found.low <= area <= found.high <= 1


@given(areas, counts, counts)
def test_the_interval_is_the_same_from_the_other_side(area: float, bad: int, good: int) -> None:
    found, mirrored = auroc_interval(area, bad, good), auroc_interval(1 - area, good, bad)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-6)


@given(areas, counts, counts)
def test_more_parts_narrow_it(area: float, bad: int, good: int) -> None:
    few, many = auroc_interval(area, bad, good), auroc_interval(area, 2 * bad, 2 * good)
    assert many.high - many.low <= few.high - few.low + 1e-6


def test_perfect_separation_of_a_few_parts_is_not_taken_for_certainty() -> None:
    assert auroc_interval(1.0, 13, 28).low < 0.9
    assert auroc_interval(1.0, 1300, 2800).low > 0.99


@pytest.mark.parametrize("apart", [1.5, 2.5, 4.0])
def test_the_interval_holds_the_true_auroc_of_clustered_pictures(apart: float) -> None:
    """As on magnetic tile: few parts, several pictures of each, alike but not equal."""
    rng = np.random.default_rng(7)

    def draw(bad: int, good: int) -> float:
        labels = np.repeat(np.arange(bad + good) < bad, 4)
        part = np.repeat(rng.normal(0, 0.8, bad + good), 4)
        scores = part + rng.normal(0, 0.6, len(labels)) + apart * labels
        return auroc(scores, labels)

    truth = draw(2000, 2000)
    held = []
    for _ in range(300):
        found = auroc_interval(draw(13, 28), 13, 28)
        held.append(found.low <= truth <= found.high)
    # Two standard errors below the 95 % that are promised.
    assert np.mean(held) >= 0.925


picture = st.tuples(st.sampled_from("abcd"), st.booleans(), st.booleans())


@given(st.lists(picture, min_size=1, max_size=20))
def test_a_part_errs_where_any_of_its_pictures_does(pictures: list[tuple[str, bool, bool]]) -> None:
    parts, among, wrong = zip(*pictures, strict=True)
    found = part_rate(np.array(wrong), np.array(among), parts)
    held = {part for part, inside, _ in pictures if inside}
    erring = {part for part, inside, errs in pictures if inside and errs}
    assert (found.wrong, found.parts) == (len(erring), len(held))
    assert (found.rate is None) == (found.interval is None) == (not held)
