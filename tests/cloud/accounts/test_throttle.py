"""Who guesses is slowed down, told of now and then, and locks out nobody else."""

from __future__ import annotations

import pytest

from cloud.accounts.throttle import MOST_KEPT, GuessThrottle, Subject
from shared.clock import ManualClock
from shared.web.access import site_of

ADMIN = Subject("account", "ada")
HERE = Subject("address", "10.0.0.7")


class Told:
    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, _subject: Subject, count: int) -> None:
        self.counts.append(count)


def fail(throttle: GuessThrottle, *subjects: Subject) -> float:
    wait = throttle.attempt(*subjects)
    if not wait:
        throttle.failed(*subjects)
    return wait


def test_a_few_mistakes_cost_nothing_and_more_cost_ever_more_up_to_a_limit() -> None:
    clock = ManualClock()
    throttle = GuessThrottle(clock)
    assert [fail(throttle, ADMIN) for _ in range(6)] == [0.0] * 6
    waits = []
    for _ in range(6):
        waits.append(fail(throttle, ADMIN))
        clock.advance(waits[-1])
        assert fail(throttle, ADMIN) == 0.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_guesses_that_come_at_once_count_before_they_are_looked_at() -> None:
    throttle = GuessThrottle(ManualClock())
    allowed = [throttle.attempt(ADMIN) for _ in range(50)].count(0.0)
    assert allowed == 6


def test_the_right_password_makes_the_account_free_and_not_the_address() -> None:
    clock = ManualClock()
    throttle = GuessThrottle(clock)
    for _ in range(5):
        fail(throttle, ADMIN, HERE)
    assert throttle.attempt(ADMIN, HERE) == 0.0
    throttle.succeeded(ADMIN, HERE)
    assert [fail(throttle, ADMIN) for _ in range(6)] == [0.0] * 6
    assert [fail(throttle, HERE) for _ in range(20)].count(0.0) == 16


def test_what_is_long_ago_is_forgotten() -> None:
    clock = ManualClock()
    throttle = GuessThrottle(clock)
    for _ in range(30):
        clock.advance(fail(throttle, ADMIN))
    clock.advance(16 * 60)
    assert [fail(throttle, ADMIN) for _ in range(6)] == [0.0] * 6


def test_a_thousand_guesses_are_told_four_times() -> None:
    told = Told()
    throttle = GuessThrottle(ManualClock(), told)
    for _ in range(1000):
        fail(throttle, ADMIN)
    assert told.counts == [1, 10, 100, 1000]


def test_names_without_number_take_no_memory_without_limit() -> None:
    throttle = GuessThrottle(ManualClock())
    for number in range(MOST_KEPT + 500):
        fail(throttle, Subject("account", str(number)))
    assert len(throttle._failures) == MOST_KEPT


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_is_counted_as_whoever_has_it(address: str, site: str) -> None:
    assert site_of(address) == site
