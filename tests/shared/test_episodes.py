"""A fault that lasts is a few lines, however many parts meet it."""

from __future__ import annotations

from typing import Any

from shared.clock import ManualClock
from shared.episodes import AGAIN_S, MOST, QUIET_S, Episodes


class Lines:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.episodes = Episodes(self.clock)
        self.told: list[tuple[str, dict[str, Any]]] = []

    def tell(self, event: str, **facts: Any) -> None:
        self.told.append((event, facts))

    def met(self, fault: str = "actuator", **facts: Any) -> None:
        self.episodes.met(fault, self.tell, "not_actuated", **facts)

    def mended(self, fault: str = "actuator") -> None:
        self.episodes.mended(fault, self.tell, "actuated_again")


def test_a_fault_is_told_when_it_begins_then_by_count_at_growing_intervals() -> None:
    lines = Lines()
    for part in range(36_000):
        lines.met(part=part)
        lines.clock.advance(0.1)
    assert lines.told[0] == ("not_actuated", {"part": 0})
    ages = [round(facts["for_s"]) for _, facts in lines.told[1:]]
    assert ages == [10, 60, 360, 2160]
    assert lines.told[1][1]["times"] == 101


def test_it_goes_on_being_told_once_in_a_while_for_ever() -> None:
    lines = Lines()
    for _ in range(1000):
        lines.met()
        lines.clock.advance(600)
    assert 150 < len(lines.told) < 180


def test_its_end_is_told_once_with_how_often_it_was_met() -> None:
    lines = Lines()
    for _ in range(5):
        lines.met()
        lines.clock.advance(1)
    lines.mended()
    lines.mended()
    assert lines.told[1:] == [("actuated_again", {"times": 5, "for_s": 4.0})]


def test_what_comes_and_goes_with_every_other_part_is_one_episode() -> None:
    lines = Lines()
    for _ in range(int(AGAIN_S[0]) * 5):
        lines.met()
        lines.clock.advance(0.1)
        lines.mended()
    assert [event for event, _ in lines.told] == ["not_actuated", "actuated_again"]
    lines.clock.advance(QUIET_S)
    lines.mended()
    assert lines.told[2:] == [("actuated_again", {"times": 50, "for_s": 4.9})]


def test_what_comes_back_much_later_is_another_episode() -> None:
    lines = Lines()
    lines.met()
    lines.mended()
    lines.clock.advance(QUIET_S)
    lines.met()
    assert lines.told[2:] == [("not_actuated", {})]


def test_another_fault_is_told_by_itself() -> None:
    lines = Lines()
    lines.met("actuator")
    lines.met("head")
    assert len(lines.told) == 2


def test_what_never_happened_is_not_over() -> None:
    lines = Lines()
    lines.mended()
    assert lines.told == []


def test_as_many_faults_as_there_are_names_take_no_more_memory() -> None:
    lines = Lines()
    for number in range(3 * MOST):
        lines.met(str(number))
    assert len(lines.episodes._known) == MOST
