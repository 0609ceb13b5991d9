"""Tables that people open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

# What a spreadsheet takes for a formula, from whoever named a lot, a kind or themselves.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV (RFC 4180); None is empty, and a text that would be run stands behind a '."""
    lines = io.StringIO()
    csv.writer(lines).writerows([_harmless(cell) for cell in row] for row in rows)
    return lines.getvalue()


def _harmless(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    runs = cell.startswith(FORMULA) or cell.lstrip().startswith(FORMULA)
    return f"'{cell}" if runs else cell
