"""Putting away what a box consists of: each part in its time, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Callable

from shared.calls import CallHangs, LimitedCalls
from shared.errors import said
from shared.log import get_logger

log = get_logger("box")

LEAVE_S = 3.0
"""For one part of the box to end, beyond what it waits for on purpose."""


class BoxEnd:
    """failed   what did not end, or raised, in words"""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def end(self, name: str, step: Callable[[], object], limit_s: float = LEAVE_S) -> None:
        """Call `step`, and go on without it after `limit_s`. Never raises."""
        calls = LimitedCalls(f"end-{name}", limit_s)
        try:
            calls(step)
        except CallHangs:
            log.error("does_not_end", about=name, waited_s=limit_s)  # noqa: TRY400 - that says all
            self.failed.append(name)
        except Exception as error:
            log.exception("failed_to_end", about=name)
            self.failed.append(f"{name} ({said(error)})")
        finally:
            calls.stop()
