"""What is no update is refused with its reason; what is too long is clipped or set aside."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleet.rounds.aggregation.updates import Bounds, Update, read_update, within
from shared.errors import FederationError
from shared.federation.protocol import (
    ARRAYS,
    CHANGE,
    CONFIG,
    EXAMPLES,
    LAYOUT,
    LOSS,
    METRICS,
    ROUND,
    VectorLayout,
)

LAYOUT_ = VectorLayout({"weight": (2, 3), "bias": (2,)})
GOOD = np.arange(8, dtype=np.float16)


def answer(
    change: NDArray[np.generic] | None = GOOD,
    *,
    layout: str = LAYOUT_.sha256,
    round_: int = 4,
    examples: float = 12,
    name: str = CHANGE,
) -> RecordDict:
    arrays = {} if change is None else {name: Array(change)}
    return RecordDict(
        {
            ARRAYS: ArrayRecord(arrays),
            METRICS: MetricRecord({EXAMPLES: examples, LOSS: 0.5}),
            CONFIG: ConfigRecord({LAYOUT: layout, ROUND: round_}),
        }
    )


def test_an_update_is_read_as_it_was_sent() -> None:
    update = read_update(answer(), LAYOUT_, 4)
    assert np.array_equal(update.change, GOOD)
    assert (update.examples, update.loss) == (12, 0.5)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (answer(GOOD * np.float16("nan")), "no numbers"),
        (answer(np.full(8, np.inf, np.float16)), "no numbers"),
        (answer(GOOD[:-1]), r"values in \(7,\), float16 in \(8,\) were wanted"),
        (answer(GOOD.reshape(2, 4)), r"values in \(2, 4\)"),
        (answer(GOOD.astype(np.float64)), "float64 values"),
        (answer(name="values"), "holds values instead of `change`"),
        (answer(None), "holds nothing instead"),
        (answer(layout="0" * 64), "another shape or version"),
        (answer(round_=3), "of round 3, not 4"),
        (answer(examples=0), "learned from 0 pictures"),
        (answer(examples=-5), "learned from -5 pictures"),
        (answer(examples=1.5), "learned from 1.5 pictures"),
        (RecordDict(), "another shape or version"),
    ],
)
def test_what_is_no_update_is_refused_with_its_reason(content: RecordDict, reason: str) -> None:
    with pytest.raises(FederationError, match=reason):
        read_update(content, LAYOUT_, 4)


def test_an_array_that_lies_about_its_size_is_refused() -> None:
    lying = Array("float16", (8,), "numpy.ndarray", Array(GOOD[:3]).data)
    content = answer()
    content[ARRAYS] = ArrayRecord({CHANGE: lying})
    with pytest.raises(FederationError, match="not of the size and kind that they claim"):
        read_update(content, LAYOUT_, 4)
    content[ARRAYS] = ArrayRecord({CHANGE: Array("float16", (8,), "numpy.ndarray", b"pickle?")})
    with pytest.raises(FederationError, match="can't be unpacked"):
        read_update(content, LAYOUT_, 4)


def updates(lengths: list[float]) -> dict[str, Update]:
    return {
        f"box-{place}": Update(np.array([length, 0.0]), 1, 0.0)
        for place, length in enumerate(lengths)
    }


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=8), st.floats(0.1, 100), st.floats(1.1, 50))
def test_no_update_that_is_kept_is_longer_than_allowed(
    lengths: list[float], norm: float, times: float
) -> None:
    kept, aside = within(updates(lengths), Bounds(norm, times))
    assert {*kept, *(one.device for one in aside)} == set(updates(lengths))
    assert all(np.linalg.norm(one.change) <= norm * (1 + 1e-9) for one in kept.values())
    for one in aside:
        length = lengths[int(one.device.removeprefix("box-"))]
        assert length > times * np.median(lengths)


def test_the_reason_names_how_long_it_is() -> None:
    kept, (aside,) = within(updates([1.0, 1.2, 120.0]), Bounds(times_median=10))
    assert set(kept) == {"box-0", "box-1"}
    assert aside.reason == "its update is 120 long, more than 10 times the round's median of 1.2"
    two, none = within(updates([1.0, 120.0]), Bounds(norm=2.0, times_median=10))
    assert not none, "of two, none is known to be the odd one"
    assert two["box-1"].change[0] == pytest.approx(2.0)
