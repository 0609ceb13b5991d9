"""Waits between tries: doubled, scattered, and short again only after a connection that lived."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from shared.transport.backoff import STEADY_S, Backoff

FIRST_S, UNREACHABLE_S, UNSTEADY_S = 0.2, 2.5, 20.0


def backoff(seed: int = 0) -> Backoff:
    return Backoff(FIRST_S, UNREACHABLE_S, UNSTEADY_S, random.Random(seed))  # noqa: S311 - jitter


@given(st.integers(), st.integers(1, 40))
def test_waits_grow_to_a_limit_and_scatter(seed: int, tries: int) -> None:
    waiting = backoff(seed)
    for number in range(tries):
        limit = min(UNREACHABLE_S, FIRST_S * 2**number)
        assert limit / 2 <= waiting.wait_s() <= limit


@given(st.integers(), st.lists(st.floats(0, STEADY_S, exclude_max=True), min_size=12, max_size=30))
def test_connections_that_do_not_live_make_waits_long(seed: int, lives: list[float]) -> None:
    waiting = backoff(seed)
    for life in lives:
        waiting.wait_s()
        waiting.lived(life)
    assert waiting.wait_s() >= UNSTEADY_S / 2


def test_a_connection_that_lived_makes_them_short_again() -> None:
    waiting = backoff()
    for _ in range(9):
        waiting.wait_s()
        waiting.lived(1.0)
    waiting.lived(STEADY_S)
    assert waiting.wait_s() <= FIRST_S


def test_two_clients_do_not_wait_equally_long() -> None:
    one, two = backoff(1), backoff(2)
    assert [one.wait_s() for _ in range(5)] != [two.wait_s() for _ in range(5)]
