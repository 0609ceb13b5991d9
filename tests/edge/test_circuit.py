"""The way to the cloud opens where answers come too late, and closes by a few that come in time."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.link.circuit import ENOUGH, LOOKS_AT, PAUSE_S, TRIES, CircuitBreaker
from shared.clock import ManualClock

GIVEN_S = 0.5


def breaker(clock: ManualClock, seed: int = 0) -> CircuitBreaker:
    return CircuitBreaker(clock, random.Random(seed))  # noqa: S311 - jitter


def ask(circuit: CircuitBreaker, clock: ManualClock, key: int, after_s: float | None) -> bool:
    """One part; answered after so long, or never. Whether it was let through."""
    if not circuit.admits():
        return False
    circuit.asked(key, clock.monotonic() + GIVEN_S)
    clock.advance(GIVEN_S + 0.1 if after_s is None else after_s)
    if after_s is not None:
        circuit.answered(key)
    return True


@given(st.lists(st.floats(0.0, GIVEN_S), max_size=200))
def test_answers_in_time_never_open_it(times: list[float]) -> None:
    clock = ManualClock()
    circuit = breaker(clock)
    assert all(ask(circuit, clock, key, after) for key, after in enumerate(times))
    assert circuit.state == "closed"


@given(st.lists(st.one_of(st.none(), st.floats(GIVEN_S + 0.01, 5.0)), min_size=ENOUGH, max_size=60))
def test_answers_that_are_late_or_lacking_open_it(times: list[float | None]) -> None:
    clock = ManualClock()
    circuit = breaker(clock)
    let_through = [ask(circuit, clock, key, after) for key, after in enumerate(times)]
    assert all(let_through[:ENOUGH])
    # Since then: only what tries it, once in a pause or more seldom.
    tried = sum(let_through[ENOUGH:])
    spent = clock.monotonic() - ManualClock().monotonic()
    assert tried <= TRIES * (1 + spent / (PAUSE_S[0] / 2))


@given(st.integers(), st.integers(1, 50))
def test_it_closes_soon_after_the_cloud_is_well_again(seed: int, late: int) -> None:
    clock = ManualClock()
    circuit = breaker(clock, seed)
    for key in range(ENOUGH + late):
        ask(circuit, clock, key, None)
        clock.advance(0.1)
    well_at, key = clock.monotonic(), 1000
    while circuit.state != "closed":
        ask(circuit, clock, key, 0.01)
        clock.advance(0.05)
        key += 1
        assert clock.monotonic() - well_at <= PAUSE_S[1] + GIVEN_S + 0.5
    assert ask(circuit, clock, key, 0.01)


def test_a_link_that_is_back_is_tried_at_once() -> None:
    clock = ManualClock()
    circuit = breaker(clock)
    for key in range(ENOUGH):
        ask(circuit, clock, key, None)
    assert not circuit.admits()
    circuit.reset()
    assert circuit.state == "closed"


def test_what_was_not_sent_says_nothing_of_the_cloud() -> None:
    clock = ManualClock()
    circuit = breaker(clock)
    for key in range(3 * LOOKS_AT):
        circuit.asked(key, clock.monotonic() + GIVEN_S)
        circuit.unsent(key)
        clock.advance(1.0)
    assert circuit.state == "closed"


class Circuits(RuleBasedStateMachine):
    """Any order of asking, answering and waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.circuit = breaker(self.clock)
        self.keys = 0
        self.open: list[int] = []
        self.admitted_while_trying = 0

    @rule()
    def ask(self) -> None:
        trying = self.circuit.state == "trying"
        if self.circuit.admits():
            self.keys += 1
            self.open.append(self.keys)
            self.circuit.asked(self.keys, self.clock.monotonic() + GIVEN_S)
            self.admitted_while_trying = self.admitted_while_trying + 1 if trying else 0

    @rule(newest=st.booleans())
    def answer(self, *, newest: bool) -> None:
        if self.open:
            self.circuit.answered(self.open.pop(-1 if newest else 0))

    @rule(seconds=st.floats(0.01, 3.0))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def lose_the_link(self) -> None:
        self.circuit.reset()
        self.open.clear()

    @invariant()
    def few_parts_try_it(self) -> None:
        if self.circuit.state != "trying":
            self.admitted_while_trying = 0
        assert self.admitted_while_trying <= TRIES

    @invariant()
    def it_never_stays_open(self) -> None:
        if self.circuit.state == "open":
            self.clock.advance(PAUSE_S[1])
            assert self.circuit.admits()


TestCircuits = Circuits.TestCase
