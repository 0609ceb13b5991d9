"""Waiting until a child process does its work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hardware_sim.processes.child import Child
from shared.errors import ProcessError

READY_TIMEOUT_S = 60.0
POLL_S = 0.1


def await_ready(
    child: Child, ready: Callable[[], bool], *, again: Callable[[], None] | None = None
) -> None:
    """Wait until it is ready.

    again   starts it once more where it ends before that
    Raises ProcessError where it ended, or is not ready within READY_TIMEOUT_S.
    """
    give_up = time.monotonic() + READY_TIMEOUT_S
    while not ready():
        if time.monotonic() > give_up:
            raise ProcessError(
                f"{child.name} was not ready within {READY_TIMEOUT_S:.0f} s",
                fix=f"its log is {child.log}",
            )
        if child.exit_code is not None:
            if again is None:
                raise child.failure()
            again()
        threading.Event().wait(POLL_S)
