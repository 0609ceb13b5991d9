"""Waiting for what another thread or process brings about, no longer than it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 60.0
PAUSE_S = 0.02


def wait_until(
    holds: Callable[[], T], what: str, *, within_s: float = PATIENCE_S, pause_s: float = PAUSE_S
) -> T:
    """What `holds` gives as soon as that is true of it.

    what   is waited for, in words
    Raises AssertionError, with those words, where it does not come within the time.
    """
    give_up = time.monotonic() + within_s
    pause = threading.Event()
    while not (found := holds()):
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        pause.wait(pause_s)
    return found
