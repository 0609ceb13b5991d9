"""An interval that may be looked at after every part, over streams of parts with a known share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.certification.certificate import interval
from shared.certification.confidence_sequence import interval_at_any_time

STREAMS, PARTS, DELTA = 2000, 400, 0.1
Limits = NDArray[np.intp]


def fewest_above(share: float) -> Limits:
    """From how many of 1 … PARTS on the low end lies above the share, (PARTS,)."""
    fewest = np.empty(PARTS, np.intp)
    count = 0
    for parts in range(1, PARTS + 1):
        # With more parts as many or more are needed.
        while count <= parts and interval_at_any_time(count, parts, DELTA)[0] <= share:
            count += 1
        fewest[parts - 1] = count
    return fewest


def most_below(share: float) -> Limits:
    """Up to how many of 1 … PARTS the high end lies below the share, (PARTS,); −1: never."""
    most = np.empty(PARTS, np.intp)
    count = -1
    for parts in range(1, PARTS + 1):
        while interval_at_any_time(count + 1, parts, DELTA)[1] < share:
            count += 1
        most[parts - 1] = count
    return most


def wrong_at_some_time(
    shares: NDArray[np.float64], low: float, high: float, seed: int
) -> tuple[int, int]:
    """Of STREAMS, looked at after every part: in how many the low end was above `low` once, and
    in how many the interval missed both once.

    shares   of each part, (PARTS,)
    """
    parts = np.random.default_rng(seed).random((STREAMS, PARTS)) < shares
    counts = np.cumsum(parts, axis=1)
    above = (counts >= fewest_above(low)).any(axis=1)
    below = (counts <= most_below(high)).any(axis=1)
    return int(above.sum()), int((above | below).sum())


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.9])
def test_it_holds_the_share_at_all_times_together(share: float) -> None:
    above, wrong = wrong_at_some_time(np.full(PARTS, share), share, share, seed=1)
    assert interval(wrong, STREAMS, 0.01)[1] <= DELTA
    assert interval(above, STREAMS, 0.01)[1] <= DELTA / 2


def test_the_exact_interval_of_one_look_does_not() -> None:
    parts = np.random.default_rng(2).random((STREAMS, PARTS)) < 0.1
    lowest = np.array([interval(count, PARTS, DELTA)[0] for count in range(PARTS + 1)])
    one_look = lowest[parts.sum(axis=1)] > 0.1
    assert interval(int(one_look.sum()), STREAMS, 0.01)[0] <= DELTA / 2
    # The same parts, looked at ten times.
    ever = np.zeros(STREAMS, bool)
    for looked in range(PARTS // 10, PARTS + 1, PARTS // 10):
        ends = np.array([interval(count, looked, DELTA)[0] for count in range(looked + 1)])
        ever |= ends[parts[:, :looked].sum(axis=1)] > 0.1
    assert interval(int(ever.sum()), STREAMS, 0.01)[0] > DELTA / 2


@pytest.mark.parametrize("kind", ["rises to it", "swings below it", "chance of the share itself"])
def test_a_share_that_changes_and_keeps_the_limit_is_not_taken_for_one_that_does_not(
    kind: str,
) -> None:
    limit, at = 0.1, np.arange(PARTS)
    shares = {
        "rises to it": limit * at / PARTS,
        "swings below it": limit * (1 + np.sin(at / 9)) / 2,
        "chance of the share itself": limit * np.random.default_rng(3).random(PARTS),
    }[kind]
    above, _ = wrong_at_some_time(shares, limit, 1e-6, seed=4)
    assert interval(above, STREAMS, 0.01)[1] <= DELTA / 2


@pytest.mark.parametrize("escapes", [0.05, 0.1])
def test_a_random_sample_of_all_parts_speaks_for_the_defective_ones(escapes: float) -> None:
    draw = np.random.default_rng(6)
    drawn = draw.random((STREAMS, 1500)) < 0.2
    defective = drawn & (draw.random(drawn.shape) < 0.4)
    passed = defective & (draw.random(drawn.shape) < escapes)
    seen, parts = np.cumsum(passed, axis=1), np.cumsum(defective, axis=1)
    assert parts.max() <= PARTS
    fewest = np.concatenate([[PARTS], fewest_above(0.1)])
    wrong = int((seen >= fewest[parts]).any(axis=1).sum())
    assert interval(wrong, STREAMS, 0.01)[1] <= DELTA / 2


def test_a_broken_promise_is_found() -> None:
    parts = np.random.default_rng(5).random((STREAMS, PARTS)) < 0.25
    found = (np.cumsum(parts, axis=1) >= fewest_above(0.1)).any(axis=1)
    assert interval(int(found.sum()), STREAMS, 0.01)[0] > 0.99


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(1e-6, 0.999))
def test_it_holds_what_was_seen_and_turns_with_it(count: int, more: int, delta: float) -> None:
    parts = count + more
    low, high = interval_at_any_time(count, parts, delta)
    assert 0 <= low <= high <= 1
    if parts:
        assert low <= count / parts <= high
    other_low, other_high = interval_at_any_time(more, parts, delta)
    assert (other_low, other_high) == pytest.approx((1 - high, 1 - low))


def test_nothing_is_known_without_parts() -> None:
    assert interval_at_any_time(0, 0, 0.1) == (0, 1)


@pytest.mark.parametrize(
    ("count", "parts", "delta"), [(-1, 3, 0.1), (4, 3, 0.1), (1, 3, 0.0), (1, 3, 1.0)]
)
def test_what_can_not_be_counted_is_refused(count: int, parts: int, delta: float) -> None:
    with pytest.raises(ValueError, match=f"{count} of {parts} parts"):
        interval_at_any_time(count, parts, delta)
