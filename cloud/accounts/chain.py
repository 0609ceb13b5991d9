"""The audit log's chain: each entry's hash covers it and the hash before. No I/O.

Whoever changes, removes, swaps or adds a row breaks it there, unless they compute all that follows
anew: then the last hash is another one than what somebody wrote down elsewhere before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ORIGIN = "0" * 64
COLUMNS = (
    *("number", "at", "who", "means", "address", "what", "subject", "before", "after"),
    "previous",
)

Row = Mapping[str, Any]


def hash_of(row: Row) -> str:
    """SHA-256 over all columns but the hash, each with its name and its length."""
    text = json.dumps([[name, row[name]] for name in COLUMNS], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Whether a log is whole.

    entries   that were read and hold together
    head      the hash of the last of them
    problem   what is wrong; empty where nothing is
    at        the number of the first entry that is wrong; None where none is, or the end lacks
    """

    entries: int
    head: str
    problem: str = ""
    at: int | None = None


def examine(rows: Iterable[Row], number: int, head: str, expected: str = "") -> ChainReport:
    """Follow the chain from its first row.

    number, head   how far the log should go, as its own last row says
    expected       a hash that somebody wrote down: it must be among those of the log
    """
    last, count, seen = ORIGIN, 0, not expected or expected == ORIGIN
    for row in rows:
        wanted = count + 1
        problem = ""
        if row["number"] != wanted:
            problem = f"entry {wanted} is missing: after {count} comes {row['number']}"
        elif row["previous"] != last:
            problem = f"entry {wanted} does not follow the one before it"
        elif row["hash"] != hash_of(row):
            problem = f"entry {wanted} is not what was written"
        if problem:
            return ChainReport(count, last, problem, wanted)
        last, count = row["hash"], wanted
        seen = seen or last == expected
    if (count, last) != (number, head):
        gone = f"it should go on to entry {number}" if number > count else "its end says otherwise"
        return ChainReport(count, last, f"the log ends with entry {count}, and {gone}", count + 1)
    if not seen:
        return ChainReport(
            count, last, "the hash that was expected is none of this log: it was cut, or rewritten"
        )
    return ChainReport(count, last)
