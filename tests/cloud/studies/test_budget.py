"""A search's time, over all its starts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.studies.budget import TimeBudget, TimeSpent, seconds_of
from shared.errors import SettingsError


@given(st.lists(st.lists(st.floats(0, 1e4), max_size=5), max_size=5))
def test_what_earlier_starts_used_counts(starts: list[list[float]]) -> None:
    kept = [0.0]
    for waits in starts:
        now = [1e5]
        budget = TimeBudget(1e3, kept[-1], kept.append, lambda: now[0])  # noqa: B023
        for wait in waits:
            now[0] += wait
            budget.spend()
    whole = sum(map(sum, starts))
    assert kept[-1] == pytest.approx(whole, abs=1e-6)
    assert kept == sorted(kept)


def test_nothing_is_begun_once_the_time_is_over() -> None:
    now = [0.0]
    budget = TimeBudget(60, 0, lambda _: None, lambda: now[0])
    budget.want_more()
    now[0] = 60.0
    budget.spend()
    assert budget.spent
    with pytest.raises(TimeSpent):
        budget.want_more()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("90m", 5400), ("2h", 7200), ("1.5d", 129_600)]
)
def test_lengths_of_time_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0m", "2 hours", "1e3s", "∞h"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="no length of time"):
        seconds_of(text)
