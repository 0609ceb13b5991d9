"""Every state that a small machine can reach, the short ways first."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Machine(Protocol[S]):
    """Where it begins, what may happen next, and what must never be."""

    @property
    def start(self) -> S: ...

    def steps(self, state: S) -> Iterator[tuple[str, S]]:
        """What may happen in a state, in words, and the state after it."""

    def wrong(self, state: S) -> str:
        """What must not be so, now or ever; empty where all is well."""

    def unfinished(self, state: S) -> str:
        """What is missing in a state in which nothing can happen any more."""


class Violation(Exception):
    """A way to a state that must not be."""

    def __init__(self, what: str, way: list[str]) -> None:
        told = [f"  {number}. {step}" for number, step in enumerate(way, 1)]
        super().__init__("\n".join([what, *told]))
        self.what = what
        self.way = way


@dataclass(frozen=True, slots=True)
class Explored(Generic[S]):
    """states: how many can be reached; transitions: between them; ends: where nothing follows."""

    states: int
    transitions: int
    ends: list[S]


def explore(machine: Machine[S], *, most: int) -> Explored[S]:
    """Visit every state.

    Raises Violation with a shortest way to a state that is wrong, to an end that is unfinished, or
    round a circle: what goes round need never end. Raises AssertionError beyond `most` states.
    """
    start = machine.start
    numbers = {start: 0}
    came: list[tuple[int, str]] = [(-1, "")]
    successors: list[list[int]] = []
    ends = []
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        number = len(successors)
        following: list[int] = []
        for step, after in machine.steps(state):
            known = numbers.get(after)
            if known is None:
                known = numbers[after] = len(came)
                came.append((number, step))
                if wrong := machine.wrong(after):
                    raise Violation(wrong, _way(came, known))
                waiting.append(after)
            following.append(known)
        if not following:
            ends.append(state)
            if unfinished := machine.unfinished(state):
                raise Violation(unfinished, _way(came, number))
        successors.append(following)
        assert len(came) <= most, f"more than {most} states: make the machine smaller"
    circling = _in_a_circle(successors)
    if circling is not None:
        raise Violation("it goes round for ever", _way(came, circling))
    return Explored(len(successors), sum(map(len, successors)), ends)


def _way(came: list[tuple[int, str]], to: int) -> list[str]:
    way = []
    while to > 0:
        to, step = came[to]
        way.append(step)
    return way[::-1]


def _in_a_circle(successors: list[list[int]]) -> int | None:
    """A state that can be reached from itself (Kahn, 1962); None where there is none."""
    before = [0] * len(successors)
    for following in successors:
        for after in following:
            before[after] += 1
    free = [number for number, count in enumerate(before) if not count]
    left = len(successors)
    while free:
        left -= 1
        for after in successors[free.pop()]:
            before[after] -= 1
            if not before[after]:
                free.append(after)
    return None if not left else next(number for number, count in enumerate(before) if count)
