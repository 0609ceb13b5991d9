"""Tails are exact: beside scipy's, and beside each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cloud.health.evidence import binomial_tail, control_limits, hypergeometric_tail


@given(st.integers(0, 3000), st.integers(0, 3000), st.floats(0.0005, 0.9995))
def test_a_binomial_tail_is_the_exact_one(count: int, parts: int, rate: float) -> None:
    wanted = float(stats.binom.sf(count - 1, parts, rate))
    assert binomial_tail(count, parts, rate) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@given(st.data())
def test_fishers_tail_is_the_exact_one(data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, 2000))
    drawn, marked = data.draw(st.integers(0, parts)), data.draw(st.integers(0, parts))
    count = data.draw(st.integers(0, parts))
    wanted = float(stats.hypergeom.sf(count - 1, parts, marked, drawn))
    found = hypergeometric_tail(count, drawn, marked, parts)
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@given(st.integers(1, 2000), st.floats(0.001, 0.999))
def test_outside_of_control_limits_lies_no_more_than_what_is_said(parts: int, rate: float) -> None:
    low, high = control_limits(parts, rate)
    above, under = round(high * parts), round(low * parts)
    assert 0.0 <= low <= rate <= high <= 1.0 or parts < 20
    if above < parts:
        assert binomial_tail(above, parts, rate) < 0.00135
    assert stats.binom.cdf(under - 1, parts, rate) < 0.00135 + 1e-9


def test_no_part_has_no_limits() -> None:
    assert control_limits(0, 0.1) == (0.0, 1.0)
    assert binomial_tail(0, 0, 0.1) == hypergeometric_tail(0, 0, 0, 0) == 1.0
