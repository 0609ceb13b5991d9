"""A line is well only with fresh evidence of it; what is wrong has a name, a time and a reason."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.health.line_state import LineFacts, LineHealth, line_rates, line_state, usual_gap_s
from cloud.health.plant_state import plant_state
from cloud.health.rate_watch import Counted
from cloud.records.views import DeviceView

NOW = 1_800_000_000.0
START = int(NOW // 60) * 60


def box(name: str = "box-1", **more: Any) -> DeviceView:
    told = {
        "site": "plant",
        "line": "line-1",
        "device": name,
        "state": "online",
        "boot": "b",
        "at": NOW,
        "seen_at": NOW - 5.0,
        "bundle": "c",
        "runtime": "r",
        "camera": "live",
        "inspected": 1,
        "waiting": 0,
        "problems": [],
        "clock_off_s": 0.0,
        "beat_s": 30.0,
    }
    return DeviceView.model_validate({**told, **more})


USUAL = Counted(42, 1)


def running(row: Counted = USUAL, *, minutes: int = 60, **more: Any) -> LineFacts:
    """A line at a constant rate until now."""
    counted = {START - 60 * back: row for back in range(1, minutes + 1)}
    told: dict[str, Any] = {
        "minutes": counted,
        "first_at": float(min(counted)),
        "last_at": NOW - 1.0,
        "devices": [box()],
    }
    return LineFacts("plant", "line-1", **{**told, **more})


def state(facts: LineFacts, now: float = NOW) -> LineHealth:
    return line_state(facts, line_rates(facts, now), now)


def names(facts: LineFacts, now: float = NOW) -> list[str]:
    return [one.name for one in state(facts, now).conditions]


def headline(*lines: LineHealth, **more: Any) -> str:
    return plant_state(NOW, lines, **more).headline


def test_a_line_with_fresh_parts_a_speaking_box_and_a_judged_minute_is_well() -> None:
    found = state(running())
    assert (found.word, found.conditions) == ("well", ())
    assert found.per_minute == pytest.approx(42.0, rel=0.2)
    assert headline(found) == "All well"


def test_all_is_not_well_two_hours_after_the_last_part() -> None:
    later = NOW + 2 * 3600
    facts = running(devices=[box(seen_at=later - 5.0)])
    found = state(facts, later)
    (condition,) = found.conditions
    assert (found.word, condition.name, condition.since) == ("bad", "no_parts", NOW - 1.0)
    assert headline(found) == "plant / line-1: no parts come, where about 42 a minute came before"


def test_all_is_not_well_at_half_of_the_parts_rejected() -> None:
    found = state(running(Counted(42, 21)))
    assert (found.word, [one.name for one in found.conditions]) == ("bad", ["reject_rate"])
    assert "50.0 % rejected" in headline(found)


def test_a_slow_line_is_given_the_time_that_its_parts_take() -> None:
    slow = {START - 600 * back: Counted(1) for back in range(1, 12)}
    facts = LineFacts(
        "plant", "line-1", slow, first_at=min(slow), last_at=NOW - 1200, devices=[box()]
    )
    assert usual_gap_s(facts) == pytest.approx(600, rel=0.2)
    assert names(facts) == []
    assert names(facts, NOW + 3000)[0] == "no_parts"


def test_no_line_is_waited_for_longer_than_an_hour() -> None:
    facts = LineFacts("plant", "line-1", last_at=NOW - 3700, devices=[box()])
    assert names(facts) == ["no_parts"]
    assert "where parts came before" in state(facts).conditions[0].says


def test_parts_are_not_expected_of_boxes_that_said_that_they_stop() -> None:
    facts = running(devices=[box(state="stopping", seen_at=NOW)])
    found = state(facts, NOW + 7200)
    assert (found.word, found.conditions, found.since) == ("off", (), NOW)
    assert headline(found) == "All lines are off"


def test_a_box_that_is_offline_or_silent_or_troubled_is_named() -> None:
    offline = state(running(devices=[box(state="offline", seen_at=NOW - 60)]))
    (condition,) = offline.conditions
    assert (condition.name, condition.device, condition.since) == ("box_offline", "box-1", NOW - 60)
    assert names(running(devices=[box(seen_at=NOW - 91)])) == ["box_silent"]
    assert names(running(devices=[box(seen_at=NOW - 89)])) == []
    assert names(running(devices=[box(seen_at=NOW - 91, beat_s=60.0)])) == []
    troubled = state(running(devices=[box(problems=["camera: away", "disk: full"])]))
    assert troubled.word == "warn"
    assert headline(troubled) == "plant / line-1 / box-1: the box says: camera: away (and 1 more)"


def test_an_older_box_says_nothing_while_nothing_changes_and_is_not_blamed_at_once() -> None:
    assert names(running(devices=[box(seen_at=NOW - 3000, beat_s=0.0)])) == []
    assert names(running(devices=[box(seen_at=NOW - 4000, beat_s=0.0)])) == ["box_silent"]


def test_a_part_that_waits_too_long_for_a_person_is_told() -> None:
    assert names(running(oldest_waiting=NOW - 3600)) == []
    assert names(running(oldest_waiting=NOW - 5 * 3600)) == ["review_queue"]


def test_nothing_is_called_well_before_a_whole_minute_was_judged() -> None:
    begun = LineFacts(
        "plant",
        "line-1",
        {START: Counted(3)},
        first_at=NOW - 2,
        last_at=NOW - 1,
        devices=[box()],
    )
    assert state(begun).word == "starting"
    assert "too little has come to judge line-1" in headline(state(begun))
    assert state(running(devices=[])).word == "starting"
    assert state(LineFacts("plant", "line-1")).word == "empty"
    assert headline() == "Waiting for the first device"


def test_the_headline_says_the_worst_first_and_what_the_deadline_cost() -> None:
    quiet = state(running(devices=[box(seen_at=NOW + 900)]), NOW + 900)
    late = state(running(Counted(42, 0, deadline=10)))
    assert headline(late, quiet, diverted=420).startswith("plant / line-1: no parts come")
    assert headline(late, quiet, diverted=420).endswith(
        "; and 1 more; 420 parts were diverted by a deadline in 30 minutes"
    )
    assert headline(late, diverted=420) == (
        "plant / line-1: 50 of 210 parts in 5 minutes were diverted by the deadline: nobody "
        "answered in time"
    )
    assert headline(state(running()), diverted=1).startswith("All well; 1 part was diverted")
