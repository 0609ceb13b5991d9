"""What can still be read of a journal that was put aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edge.journal.part_counter import Numbers
from edge.journal.quota import wal_of
from edge.journal.schema import COLUMNS, inspection_of
from shared.contracts import FAIL_SAFE
from shared.log import get_logger

log = get_logger("journal")

UNREAD, READ = "unread", "damaged"
ENDS = ("", "-wal", "-shm")
KEPT = 3
# Of reads that failed: a journal of which nothing is left must not keep a processor busy.
MOST_FAILURES = 200_000
# Beside what an inspection has: what only the box keeps of it.
OWN = ("cloud_score", "late_verdict", "late_score")
ROW = f"id, {COLUMNS}, {', '.join(OWN)}"
_NAMES = ROW.split(", ")
LABELLED = "id, boot, sequence, part, defective, kind, domain, said_at, bytes, picture"
_UNSENT = (
    f"SELECT {ROW} FROM inspections "  # noqa: S608
    "WHERE id BETWEEN ? AND ? AND acknowledged = 0 ORDER BY id"
)
_LABELS = f"SELECT {LABELLED} FROM labelled WHERE id BETWEEN ? AND ? ORDER BY id"  # noqa: S608
MASKS = "id, boot, sequence, said_at, mask"
_MASKS = f"SELECT {MASKS} FROM label_masks WHERE id BETWEEN ? AND ? ORDER BY id"  # noqa: S608
_PARTS = "SELECT id, part FROM inspections WHERE id BETWEEN ? AND ? ORDER BY id"
# The index knows each id too, and may be whole where the table is not.
_LAST_ID, _LAST_MASK = (
    (
        f"SELECT max(id) FROM {table}",  # noqa: S608
        f"SELECT max(id) FROM {table} INDEXED BY sqlite_autoindex_{table}_1",  # noqa: S608
    )
    for table in ("inspections", "label_masks")
)

Cells = tuple[Any, ...]


class UnreadJournal(NamedTuple):
    """A journal that was put aside.

    path    where it is now
    last    the highest numbers that it can hold
    """

    path: Path
    last: Numbers


def put_aside(path: Path) -> Path:
    """Give a journal, with what waits beside it, another name. No connection may have it open:
    the last one that closes removes what is beside the name that it knows.

    The oldest of more than KEPT go. Returns the new name. Raises OSError.
    """
    number = max(map(_number, aside(path)), default=0) + 1
    new = path.with_name(f"{path.name}.{UNREAD}-{number}")
    _rename(path, new)
    for old in aside(path)[:-KEPT]:
        log.warning("damaged_journal_removed", path=str(old), kept=KEPT)
        for end in ENDS:
            old.with_name(old.name + end).unlink(missing_ok=True)
    return new


def finish(path: Path) -> Path:
    """Nothing more is wanted of a journal that was put aside; its name from now on.

    Raises OSError.
    """
    new = final(path)
    _rename(path, new)
    return new


def final(path: Path) -> Path:
    """The name that `finish` gives."""
    return path.with_name(path.name.replace(f".{UNREAD}-", f".{READ}-"))


def aside(path: Path) -> list[Path]:
    """The journals that were put aside beside this one, oldest first."""
    both = [one for kind in (UNREAD, READ) for one in path.parent.glob(f"{path.name}.{kind}-*")]
    return sorted((one for one in both if _number(one)), key=_number)


def unread(path: Path) -> list[Path]:
    """Those of them in which something may be that is not carried over."""
    return [one for one in aside(path) if f".{UNREAD}-" in one.name]


def _rename(path: Path, new: Path) -> None:
    # The file last: where the power is cut between two of these, it is found damaged again and
    # gets the same name, so that it has again beside it what was there.
    for end in reversed(ENDS):
        old = path.with_name(path.name + end)
        if old.exists():
            old.rename(new.with_name(new.name + end))


def carrying(table: str, columns: str) -> str:
    """The statement that takes such cells over into a table, where none are under their key."""
    places = ", ".join("?" * (columns.count(",") + 1))
    return f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})"  # noqa: S608


def last_of(connection: sqlite3.Connection) -> Numbers:
    """The newest row's id and the highest part, 0 where there is none. Raises sqlite3.Error."""
    row = connection.execute("SELECT max(id), max(part) FROM inspections").fetchone()
    return Numbers(row[0] or 0, row[1] or 0)


def highest(connection: sqlite3.Connection) -> Numbers:
    """The same of what can be read: there may have been higher ones."""
    row, part = _last(connection, _LAST_ID), 0
    for cells in readable(connection, _PARTS, row):
        part = max(part, cells[1])
    return Numbers(row, part)


def unsent(connection: sqlite3.Connection, high: int, low: int = 1) -> Iterator[Cells]:
    """Cells ROW of what the cloud has not acknowledged and can be read, oldest first."""
    for cells in readable(connection, _UNSENT, high, low):
        try:
            inspection_of(cells[1 : -len(OWN)])
        except (msgspec.MsgspecError, TypeError, ValueError):
            continue
        yield cells


def decided(cells: Cells) -> Cells:
    """The same; what was open when its journal was put aside, as after a crash."""
    row = dict(zip(_NAMES, cells, strict=True))
    if row["verdict"] is None:
        row.update(verdict=FAIL_SAFE, decided_by="deadline")
    if row["total_ms"] is None:
        row.update(total_ms=row["edge_ms"])
    return tuple(row.values())


def labelled(connection: sqlite3.Connection, high: int) -> Iterator[Cells]:
    """Cells LABELLED of the pictures that an inspector has labelled, oldest first."""
    return readable(connection, _LABELS, high)


def masks(connection: sqlite3.Connection) -> Iterator[Cells]:
    """Cells MASKS of what was drawn with labels, and of those that were taken back, oldest first;
    none in the journal of an agent that knew neither."""
    return readable(connection, _MASKS, _last(connection, _LAST_MASK))


def readable(
    connection: sqlite3.Connection, query: str, high: int, low: int = 1
) -> Iterator[Cells]:
    """Rows by id from low to high, without those on pages that are damaged.

    query   of rows that begin with the id, from the first placeholder to the second
    """
    failures = 0
    ranges = [(low, high)]
    while ranges:
        first, last = ranges.pop()
        try:
            for cells in connection.execute(query, (first, last)):
                first = cells[0] + 1
                yield cells
        except sqlite3.DatabaseError:
            # The next one, or one after it.
            failures += 1
            if failures > MOST_FAILURES:
                return
            if first < last:
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]


def open_aside(path: Path) -> closing[sqlite3.Connection]:
    """A connection that only reads: what was put aside stays as it is. Raises sqlite3.Error."""
    mode = "ro" if wal_of(path).exists() else "ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}", uri=True, check_same_thread=False
    )
    return closing(connection)


def _last(connection: sqlite3.Connection, queries: Sequence[str]) -> int:
    """The highest id that any of them tells, 0 where none does."""
    last = 0
    for query in queries:
        try:
            last = max(last, connection.execute(query).fetchone()[0] or 0)
        except sqlite3.Error:
            continue
    return last


def _number(path: Path) -> int:
    end = path.name.rpartition("-")[2]
    return int(end) if end.isdigit() else 0
