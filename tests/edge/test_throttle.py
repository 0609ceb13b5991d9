"""When a device may learn beside its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.learning.throttle import FIRST_PAUSE_S, LONGEST_PAUSE_S, RATIO, Throttle, p99
from edge.monitoring.health import BoxHealth
from shared.clock import ManualClock


class Line:
    """A line that is fast, or slow while somebody learns."""

    def __init__(self, *, slower: float = 1.0) -> None:
        self.clock = ManualClock()
        self.health = BoxHealth()
        self.throttle = Throttle(self.health, self.clock)
        self.slower = slower
        self.learned_s = 0.0

    def run(self, seconds: float, *, wants: bool) -> bool:
        may = False
        for step in range(int(seconds * 10)):
            may = self.throttle.may_learn(wants=wants)
            self.learned_s += 0.1 * may
            for part in range(10):
                took = 4.0 + 0.1 * ((step * 10 + part) % 7)
                self.health.pace.add(took * (self.slower if may else 1.0))
            self.clock.advance(0.1)
        return may


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=300))
def test_p99_is_exceeded_by_few(times: list[float]) -> None:
    assert sum(time > p99(times) for time in times) <= 0.01 * len(times) + 1


def test_a_line_that_does_not_suffer_is_learned_beside() -> None:
    line = Line(slower=RATIO * 0.95)
    line.run(5, wants=False)
    line.run(60, wants=True)
    assert line.throttle.pauses == 0
    assert line.learned_s == pytest.approx(60, abs=0.5)


def test_a_line_that_gets_slower_is_left_alone_more_and_more() -> None:
    line = Line(slower=3.0)
    line.run(5, wants=False)
    line.run(200, wants=True)
    assert line.throttle.pauses >= 5
    assert line.learned_s < 20


def test_when_the_line_is_fast_again_learning_goes_on() -> None:
    line = Line(slower=3.0)
    line.run(5, wants=False)
    line.run(60, wants=True)
    line.slower = 1.0
    assert line.run(LONGEST_PAUSE_S + 1, wants=True)


def test_one_missed_deadline_stops_the_learner_at_once() -> None:
    line = Line()
    line.run(2, wants=True)
    line.health.count("deadlines_missed")
    assert not line.throttle.may_learn(wants=True)
    line.clock.advance(FIRST_PAUSE_S)
    assert line.throttle.may_learn(wants=True)


def test_without_parts_nothing_holds_the_learner_back() -> None:
    line = Line()
    assert line.throttle.may_learn(wants=True)
    assert line.throttle.idle_p99_ms is None


def test_who_has_nothing_to_learn_is_not_learning() -> None:
    line = Line(slower=9.0)
    assert not line.run(5, wants=False)
    assert line.throttle.idle_p99_ms == pytest.approx(4.6)
