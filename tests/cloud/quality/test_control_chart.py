"""When a share is out of control, and that a steady line is not called so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.quality.control_chart import FEWEST, RUN, control_chart
from cloud.quality.shares import QualityShare


def shares(*counts: int, parts: int = 1000) -> list[QualityShare]:
    return [QualityShare(count, parts) for count in counts]


def test_a_jump_is_above_the_limit_and_a_steady_line_is_not() -> None:
    steady = [50, 47, 53, 49, 52, 48, 51, 50, 49, 52]
    assert control_chart(shares(*steady)).signals == []
    jumped = control_chart(shares(*steady, 120))
    assert [one.signal for one in jumped.points][-1] == "above"


def test_eight_in_a_row_on_one_side_are_told_though_none_is_beyond_a_limit() -> None:
    chart = control_chart(shares(*[45, 44] * 6, *[54, 56] * 6))
    told = [one.signal for one in chart.points]
    assert told[: RUN - 1] == [""] * (RUN - 1)
    assert told[RUN - 1] == "run"
    assert told[-1] == "run"


def test_few_points_have_no_limits_and_call_nothing_out_of_control() -> None:
    chart = control_chart(shares(*[10] * (FEWEST - 2), 500))
    assert [one.low for one in chart.points] == [None] * (FEWEST - 1)
    assert chart.signals == []
    assert chart.centre is not None


def test_a_time_without_parts_has_no_point_and_breaks_nothing() -> None:
    chart = control_chart([*shares(50, 50, 50, 50, 50, 50, 50), QualityShare(0, 0)])
    assert chart.points[-1].low is None
    assert control_chart([QualityShare(0, 0)]).centre is None


@pytest.mark.parametrize("parts", [200, 5_000])
def test_of_steady_lines_few_are_called_out_of_control(parts: int) -> None:
    """Three sigmas and runs of eight: over 24 points a steady line is rarely marked."""
    random = np.random.default_rng(1)
    marked = sum(
        bool(
            control_chart(shares(*map(int, random.binomial(parts, 0.05, 24)), parts=parts)).signals
        )
        for _ in range(300)
    )
    assert marked / 300 < 0.2


def test_shifts_that_differ_anyway_widen_the_band() -> None:
    """Thousands of parts a shift, whose share moves by more than chance: plain limits mark most."""
    random = np.random.default_rng(2)
    rates = random.normal(0.05, 0.01, 24).clip(0.01, 0.2)
    counts = [int(random.binomial(20_000, rate)) for rate in rates]
    chart = control_chart(shares(*counts, parts=20_000))
    plain = 3 * np.sqrt(0.05 * 0.95 / 20_000)
    assert sum(abs(count / 20_000 - 0.05) > plain for count in counts) > 8
    assert len([one for one in chart.signals if one.signal != "run"]) <= 1
    assert chart.spread > 3


@given(st.integers(1, 2_000_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_the_share_that_was_seen(counted: tuple[int, int]) -> None:
    share = QualityShare(*counted)
    low, high = share.interval
    assert share.rate is not None
    assert 0 <= low <= share.rate + 1e-12
    assert share.rate - 1e-12 <= high <= 1
    assert low < high
