"""A rate that jumps is told within minutes, one that stays the same hardly ever."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.health.rate_watch import NOTHING, WINDOW, Counted, RateName, fast_rate, found_rates

NOW = 1_800_000_000.0
MOST: dict[RateName, float] = {
    "reject_rate": 0.2,
    "deadline_share": 0.001,
    "missed_pictures": 0.001,
}


def history(*rows: Counted) -> dict[int, Counted]:
    """These minutes, the last one the newest whole one."""
    end = int(NOW // 60) * 60
    return {end - 60 * (len(rows) - place): row for place, row in enumerate(rows)}


def told(
    minutes: dict[int, Counted], past: Counted = NOTHING, now: float = NOW
) -> dict[str, float]:
    return {one.name: one.since for one in found_rates(minutes, past, now, most=MOST)}


def test_half_of_the_parts_rejected_is_told_though_it_was_never_otherwise() -> None:
    (found,) = found_rates(history(*[Counted(40, 20)] * 20), NOTHING, NOW, most=MOST)
    assert (found.name, found.severity, found.count, found.parts) == (
        "reject_rate",
        "bad",
        100,
        200,
    )
    assert "50.0 % rejected (100 of 200 parts in 5 minutes)" in found.says


def test_a_jump_is_told_with_the_minute_in_which_it_showed() -> None:
    minutes = history(*[Counted(60, 2)] * 60, *[Counted(60, 24)] * 3)
    assert told(minutes) == {"reject_rate": NOW // 60 * 60 - 180}
    (found,) = found_rates(minutes, NOTHING, NOW, most=MOST)
    assert "before it were 3.3 %" in found.says


def test_a_jump_beside_yesterday_is_told_where_these_hours_have_always_had_it() -> None:
    minutes = history(*[Counted(60, 8)] * 30)
    assert told(minutes) == {}
    assert "reject_rate" in told(minutes, past=Counted(60_000, 2_000))


def test_what_is_sure_but_small_is_nobodys_trouble() -> None:
    minutes = history(*[Counted(12_000, 600)] * 60, *[Counted(12_000, 660)] * WINDOW)
    assert told(minutes) == {}


def test_it_ends_when_the_rate_is_as_before() -> None:
    bad = [Counted(60, 20)] * 5
    assert told(history(*[Counted(60, 2)] * 60, *bad))
    assert not told(history(*[Counted(60, 2)] * 60, *bad, *[Counted(60, 2)] * 8))


def test_deadline_verdicts_are_told_and_are_no_rejects() -> None:
    minutes = history(*[Counted(60, 2)] * 30, *[Counted(60, 1, deadline=25)] * 4)
    assert told(minutes) == {"deadline_share": NOW // 60 * 60 - 240}
    (found,) = found_rates(minutes, NOTHING, NOW, most=MOST)
    assert found.severity == "bad"
    assert "100 of 300 parts in 5 minutes were diverted by the deadline" in found.says


def test_a_single_late_part_of_many_is_no_state() -> None:
    assert told(history(*[Counted(60, 2)] * 30, Counted(60, 2, deadline=1))) == {}


def test_parts_without_a_picture_are_told() -> None:
    assert told(history(*[Counted(60, 2, unseen=6)] * 5)).keys() == {"missed_pictures"}


def test_the_minute_that_has_begun_is_not_judged_yet() -> None:
    begun = {int(NOW // 60) * 60: Counted(60, 60)}
    assert told(begun, now=NOW + 30.0) == {}
    assert told(begun, now=NOW + 60.0).keys() == {"reject_rate"}


@pytest.mark.parametrize("rate", [0.005, 0.05, 0.15])
def test_a_rate_that_stays_the_same_raises_less_than_one_false_alarm_in_ten_days(
    rate: float,
) -> None:
    """Half a day of a line at 30 parts a minute, from a fixed seed."""
    chance, alarms = random.Random(7), 0  # noqa: S311 - a simulation
    rows = [Counted(30, sum(chance.random() < rate for _ in range(30))) for _ in range(120 + 720)]
    for last in range(120, len(rows), 20):
        alarms += bool(told(history(*rows[last - 120 : last])))
    assert not alarms


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_only_what_is_too_high_is_told(parts: list[int]) -> None:
    assert told(history(*(Counted(count) for count in parts))) == {}


def test_parts_a_minute_are_of_the_newest_five_or_since_they_began() -> None:
    end = int(NOW // 60) * 60
    assert fast_rate({}, NOW) is None
    assert fast_rate({end - 600: Counted(99)}, NOW) is None
    assert fast_rate({end: Counted(10)}, end + 30.0) == 10.0
    steady = {end - 60 * back: Counted(30) for back in range(1, 10)}
    assert fast_rate(steady, float(end)) == pytest.approx(30.0)
