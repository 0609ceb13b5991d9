"""Power cuts at a chosen instant."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hardware_sim.power.plug import Plug, PowerCut
from shared.errors import ProcessError

POLL_S = 0.002


def cut_after(plug: Plug, delay_s: float, cancelled: threading.Event) -> PowerCut | None:
    """Cut after so many seconds; None where `cancelled` was set before."""
    return None if cancelled.wait(delay_s) else plug.cut()


def cut_when(
    plug: Plug, reached: Callable[[], bool], *, timeout_s: float, cancelled: threading.Event
) -> PowerCut | None:
    """Cut as soon as `reached()` holds, asked every 2 ms; None where `cancelled` was set.

    Raises ProcessError where it does not hold within `timeout_s`.
    """
    until = time.monotonic() + timeout_s
    while not reached():
        if cancelled.wait(POLL_S):
            return None
        if time.monotonic() > until:
            raise ProcessError(
                f"the instant of the power cut did not come within {timeout_s:g} s",
                fix="check its condition, or give it longer",
            )
    return plug.cut()
