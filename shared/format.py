"""Numbers, sizes and times as people read them: on pages, in reports and in the terminal.

What is not known is NONE, everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

NONE = "–"


def number(value: float | None) -> str:
    """1234567 → 1,234,567."""
    return NONE if value is None else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """A score, a ratio, an area: 0.1234 → 0.123."""
    return NONE if value is None else f"{value:.3f}"


def percent(part: float | None, whole: float = 1.0) -> str:
    """0.1234 → 12.3 %. NONE of a whole of 0."""
    return NONE if part is None or not whole else f"{part / whole * 100:.1f} %"


def size(count: float | None) -> str:
    """Bytes, in powers of ten: 1234 → 1.2 kB."""
    if count is None:
        return NONE
    if count < 999.5:
        return f"{count:.0f} B"
    units = ("kB", "MB", "GB", "TB")
    for unit in units:
        count /= 1000
        if count < 999.5 or unit == units[-1]:
            break
    # A tenth of a unit says nothing of hundreds.
    return f"{count:.0f} {unit}" if count >= 99.95 else f"{count:.1f} {unit}"


def milliseconds(value: float | None) -> str:
    """1234.5 → 1,234 ms; 1.25 → 1.2 ms."""
    if value is None:
        return NONE
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"


def iso(at: float | None = None) -> str:
    """UTC seconds, or now, for programs: 2026-01-31T12:00:00Z."""
    return _shown(at, "%Y-%m-%dT%H:%M:%SZ")


def date(at: float | None = None) -> str:
    """UTC seconds, or now: 2026-01-31 12:00 UTC."""
    return _shown(at, "%Y-%m-%d %H:%M UTC")


def time_of_day(at: float) -> str:
    """UTC seconds: 12:00:00 UTC."""
    return _shown(at, "%H:%M:%S UTC")


def _shown(at: float | None, form: str) -> str:
    """NONE for what is no time of a calendar: a clock may say anything."""
    try:
        return datetime.fromtimestamp(time.time() if at is None else at, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return NONE


FILTERS: dict[str, Callable[..., str]] = {
    show.__name__: show
    for show in (number, decimal, percent, size, milliseconds, iso, date, time_of_day)
}
"""For templates, by name."""
