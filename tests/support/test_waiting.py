from __future__ import annotations

import threading

import pytest

from tests.support.waiting import wait_until


def test_what_came_is_given_back_as_soon_as_it_is_there() -> None:
    found: list[int] = []
    threading.Timer(0.01, found.append, [7]).start()
    assert wait_until(lambda: found, "a number") == [7]


def test_what_never_comes_is_said_in_words() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.01 s: a number"):
        wait_until(lambda: None, "a number", within_s=0.01)
