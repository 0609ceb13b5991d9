"""What clocks say: a box's may say anything, and the cloud's own may have been wrong."""

from __future__ import annotations

import math

# 2020-01-01, before anything here was written, and 9999-12-31, the last day of the calendar.
EARLIEST = 1_577_836_800.0
LATEST = 253_402_300_799.0
LONGEST_OFF_S = 1e12
TOLD_S = 60.0


def shown_time(told: float, received_at: float) -> float:
    """What a box says of the time; when that came here where it is no time of a calendar."""
    return told if 0.0 <= told <= LATEST else received_at


def clock_off(told: float, now: float) -> float:
    """Seconds by which the clock of who says that it is `told` is ahead, at most LONGEST_OFF_S."""
    if math.isnan(told):
        return LONGEST_OFF_S
    return max(-LONGEST_OFF_S, min(told - now, LONGEST_OFF_S))


def clock_problems(off_s: float | None) -> list[str]:
    """What a person should know of a box's clock; empty where it is well, or not known."""
    if off_s is None or abs(off_s) < TOLD_S:
        return []
    side = "ahead of" if off_s > 0 else "behind"
    told = (
        f"its clock is {_long(abs(off_s))} {side} the cloud's: set it. Lists and counts go by when "
        "parts came here."
    )
    return [told]


def _long(seconds: float) -> str:
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"
