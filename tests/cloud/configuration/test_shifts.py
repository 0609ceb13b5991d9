"""Shifts by the plant's own clock: over midnight, and on days on which it is set."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cloud.configuration.shifts import ShiftSettings

BERLIN = ShiftSettings.model_validate({"zone": "Europe/Berlin"})
HOUR = 3600.0


def test_a_night_shift_belongs_to_the_day_on_which_it_begins() -> None:
    night = BERLIN.named("night", date(2026, 6, 1))
    assert night is not None
    assert _utc(night.since) == "2026-06-01T20:00:00"
    assert _utc(night.until) == "2026-06-02T04:00:00"
    assert BERLIN.at(night.until - 1) == night
    assert BERLIN.at(night.until) == BERLIN.named("early", date(2026, 6, 2))


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 28), 7.0), (date(2026, 10, 24), 9.0), (date(2026, 6, 1), 8.0)],
)
def test_a_night_in_which_the_clock_is_set_is_an_hour_shorter_or_longer(
    day: date, hours: float
) -> None:
    night = BERLIN.named("night", day)
    assert night is not None
    assert night.minutes == hours * 60


@given(st.floats(1.6e9, 2.2e9), st.sampled_from(["Europe/Berlin", "America/New_York", "UTC"]))
def test_whatever_the_moment_and_the_zone_three_shifts_leave_no_gap(at: float, zone: str) -> None:
    shifts = ShiftSettings.model_validate({"zone": zone})
    found = shifts.at(at)
    assert found is not None
    assert found.since <= at < found.until
    assert found in shifts.on(found.day)
    assert shifts.at(found.until) != found


def test_a_day_has_as_many_hours_as_its_clock_shows() -> None:
    assert BERLIN.day(date(2026, 3, 29)).minutes == 23 * 60
    assert BERLIN.day(date(2026, 10, 25)).minutes == 25 * 60


def test_the_last_shifts_have_begun_and_come_newest_first() -> None:
    now = datetime(2026, 6, 2, 5, 0, tzinfo=UTC).timestamp()
    found = [(one.name, one.day) for one in BERLIN.last(now, 4)]
    first, second = date(2026, 6, 2), date(2026, 6, 1)
    assert found == [("early", first), ("night", second), ("late", second), ("early", second)]


def test_between_two_shifts_there_is_none() -> None:
    day = ShiftSettings.model_validate({"times": [_times("day", "06:00", "18:00")]})
    midnight = datetime(2026, 6, 2, tzinfo=UTC)
    assert day.at(midnight.timestamp()) is None
    assert day.at((midnight + timedelta(hours=6)).timestamp()) is not None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"zone": "Europe/Atlantis"}, "no time zone that this machine knows"),
        ({"times": [_t := {"name": "a", "starts": 360, "ends": "14:00"}]}, "write it in quotes"),
        (
            {"times": [{**_t, "starts": "22:00", "ends": "06:30"}, {**_t, "starts": "06:00"}]},
            "one name",
        ),
        (
            {
                "times": [
                    {"name": "night", "starts": "22:00", "ends": "06:30"},
                    {"name": "early", "starts": "06:00", "ends": "14:00"},
                ]
            },
            "two shifts are at work at 06:00",
        ),
    ],
)
def test_what_can_not_be_is_refused_with_its_reason(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ShiftSettings.model_validate(given)


def _times(name: str, starts: str, ends: str) -> dict[str, str]:
    return {"name": name, "starts": starts, "ends": ends}


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
