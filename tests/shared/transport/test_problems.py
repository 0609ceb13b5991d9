"""What is wrong at present, told once."""

from __future__ import annotations

import math

import pytest
from structlog.testing import capture_logs

from shared.transport.problems import LASTS_S, MOST, LinkProblems


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_problem_is_logged_once_however_often_it_is_met(time: Time) -> None:
    found = LinkProblems(time)
    with capture_logs() as logs:
        for _ in range(50):
            found.meet("topic a", "it refuses", fix="allow it")
        found.solve("topic a")
    assert [entry["event"] for entry in logs] == ["link_problem", "link_problem_solved"]
    assert (logs[0]["reason"], logs[0]["fix"], logs[1]["times"]) == ("it refuses", "allow it", 50)
    assert not found.now


def test_another_reason_is_told_again(time: Time) -> None:
    found = LinkProblems(time)
    with capture_logs() as logs:
        for text in ("closed", "refused", "refused"):
            found.meet("broker", text)
    assert [entry["reason"] for entry in logs] == ["closed", "refused"]
    assert found.now == {"broker": "refused"}


def test_what_is_not_met_again_is_over_and_a_state_lasts(time: Time) -> None:
    found = LinkProblems(time)
    found.meet("topic a", "it refuses")
    found.meet("broker", "away", lasts_s=math.inf)
    time.now = LASTS_S + 1
    assert found.now == {"broker": "away"}


def test_what_a_broker_lacks_follows_what_it_said_last(time: Time) -> None:
    found = LinkProblems(time)
    found.agree({"broker retained": "none are kept"})
    found.meet("broker", "away")
    found.agree({})
    assert found.now == {"broker": "away"}


def test_a_flood_of_topics_takes_no_memory(time: Time) -> None:
    found = LinkProblems(time)
    for number in range(10 * MOST):
        found.meet(f"topic {number}", "it refuses")
    assert len(found.now) == MOST
