"""Numbers as people read them, the same on every page."""

from __future__ import annotations

from datetime import UTC, datetime


def size(number: float | None) -> str:
    """Bytes, in powers of ten."""
    if number is None:
        return "–"
    for unit, step in (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if number < 1000 * step or unit == "GB":
            value = number / step
            return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"
    raise AssertionError("the last unit takes every number")


def iso(at: float) -> str:
    """UTC seconds for a `datetime` attribute."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
