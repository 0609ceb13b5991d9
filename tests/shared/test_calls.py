from __future__ import annotations

import threading

import pytest

from shared.calls import MOST_HANGING, CallHangs, LimitedCalls
from tests.support.waiting import wait_until

LIMIT_S = 0.05
AMPLE_S = 20.0


class Hanging:
    """A call that hangs until it is let go."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self) -> str:
        self.released.wait(AMPLE_S)
        return "late"


def test_a_call_gives_what_it_returns_and_what_it_raises() -> None:
    calls = LimitedCalls("plug-in", AMPLE_S)
    assert calls(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        calls(lambda: 1 / 0)
    with pytest.raises(SystemExit):
        calls(lambda: exec("raise SystemExit"))  # noqa: S102 - as a plug-in may
    assert calls(lambda: 8) == 8
    calls.stop()


def test_calls_share_a_thread_as_long_as_none_hangs() -> None:
    calls = LimitedCalls("plug-in", AMPLE_S)
    assert len({calls(threading.get_ident) for _ in range(9)}) == 1
    calls.stop()


def test_a_call_that_hangs_is_told_in_time_and_the_next_one_is_made() -> None:
    calls, hanging = LimitedCalls("plug-in", LIMIT_S), Hanging()
    with pytest.raises(CallHangs, match=r"not returned for 0\.05 s"):
        calls(hanging)
    assert calls.hanging == 1
    ample = LimitedCalls("plug-in", AMPLE_S)
    ample._hanging = calls._hanging
    assert ample(lambda: "well") == "well"
    hanging.released.set()
    wait_until(lambda: calls.hanging == 0, "the call has returned, and its thread has ended")
    ample.stop()


def test_as_many_as_may_hang_make_every_call_fail_at_once_until_one_returns() -> None:
    calls = LimitedCalls("plug-in", LIMIT_S)
    held = [Hanging() for _ in range(MOST_HANGING)]
    for one in held:
        with pytest.raises(CallHangs):
            calls(one)
    made: list[int] = []
    with pytest.raises(CallHangs, match="4 calls before it have not returned"):
        calls(lambda: made.append(1))
    assert made == []
    for one in held:
        one.released.set()
    wait_until(lambda: calls.hanging == 0, "all have returned")
    calls._limit_s = AMPLE_S
    calls(lambda: made.append(2))
    assert made == [2]
    calls.stop()
