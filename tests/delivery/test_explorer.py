"""The explorer finds what a machine does wrong, by a shortest way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from tests.delivery.explorer import Violation, explore


@dataclass(frozen=True, slots=True)
class Drawn:
    """A machine as a drawing: from each letter to those of a word."""

    arrows: Mapping[str, str]
    bad: str = ""
    dead_ends: str = ""
    start: str = field(default="a")

    def steps(self, state: str) -> Iterator[tuple[str, str]]:
        for after in self.arrows.get(state, ""):
            yield f"to {after}", after

    def wrong(self, state: str) -> str:
        return f"{state} is bad" if state in self.bad else ""

    def unfinished(self, state: str) -> str:
        return f"{state} is no end" if state in self.dead_ends else ""


def test_every_state_is_visited_once() -> None:
    explored = explore(Drawn({"a": "bc", "b": "d", "c": "d"}), most=10)
    assert (explored.states, explored.transitions, explored.ends) == (4, 4, ["d"])


def test_the_shortest_way_to_what_is_wrong_is_told() -> None:
    with pytest.raises(Violation, match="d is bad") as found:
        explore(Drawn({"a": "bc", "b": "e", "e": "d", "c": "d"}, bad="d"), most=10)
    assert found.value.way == ["to c", "to d"]


def test_an_end_that_is_unfinished_is_found() -> None:
    with pytest.raises(Violation, match="c is no end") as found:
        explore(Drawn({"a": "bc"}, dead_ends="c"), most=10)
    assert found.value.way == ["to c"]


def test_a_circle_is_found_though_a_way_leads_out_of_it() -> None:
    with pytest.raises(Violation, match="round for ever"):
        explore(Drawn({"a": "b", "b": "ce", "c": "b"}), most=10)


def test_a_machine_that_is_too_large_is_not_taken_for_explored() -> None:
    with pytest.raises(AssertionError, match="more than 2 states"):
        explore(Drawn({"a": "bc"}), most=2)
