"""The journal's tables, and how its file is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from shared import inspection
from shared.errors import JournalError
from shared.inspection import Inspection, InspectionColumn, with_review, without_review

FORMAT = 1
BUSY_S = 0.05
WAL_BYTES = 16 << 20

# An agent from before there was `review`, back after an update, reads a reject.
REVIEW = "review INTEGER NOT NULL DEFAULT 0"
COLUMNS = ", ".join([*(column.name for column in inspection.COLUMNS), "review"])
PLACES = ", ".join("?" * (len(inspection.COLUMNS) + 1))
_SQL = {str: "TEXT", int: "INTEGER", float: "REAL", dict: "TEXT"}


def _cell(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else value


def _declared(column: InspectionColumn) -> str:
    words = [column.name, _SQL[column.kind]]
    if not column.optional:
        words.append("NOT NULL")
    if column.default is not msgspec.NODEFAULT:
        words.append(f"DEFAULT {_cell(column.default)!r}")
    return " ".join(words)


_FIRST = f"""
CREATE TABLE IF NOT EXISTS inspections (
    id INTEGER PRIMARY KEY,
    {", ".join(map(_declared, inspection.COLUMNS))},
    cloud_score REAL,
    late_verdict TEXT,
    late_score REAL,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    {REVIEW},
    UNIQUE (boot, sequence)
);
CREATE TABLE IF NOT EXISTS frames (
    id INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    picture BLOB NOT NULL
);
"""
_LABELS = """
CREATE TABLE labelled (
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    part INTEGER NOT NULL,
    defective INTEGER NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    said_at REAL NOT NULL,
    bytes INTEGER NOT NULL,
    picture BLOB NOT NULL,
    UNIQUE (boot, sequence)
);
"""
# Beside `labelled`, which older agents fill without naming its columns. Without a mask: the label
# was taken back, and an older one that comes late is not to bring it back.
_MASKS = """
CREATE TABLE label_masks (
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    said_at REAL NOT NULL,
    mask BLOB,
    UNIQUE (boot, sequence)
);
"""
# An update of the agent that is taken back must find a journal that it can write. So the format
# stays, and what was added to it since is nothing that an older agent of that format has to know:
# tables of their own, and columns with a default.
_ADDED = {"labelled": _LABELS, "label_masks": _MASKS}


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written within, or nothing of it. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def connect_to_read(path: Path, busy_s: float, reader: str) -> sqlite3.Connection:
    """Open a journal that an agent writes meanwhile, to read it alone.

    busy_s   how long the writer may hold it up
    reader   who reads it, for people
    Raises sqlite3.Error where that is not possible, JournalError where it is another version's.
    """
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=busy_s)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        connection.close()
        raise JournalError(f"{path} has format {version}, {reader} reads {FORMAT}")
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal's file, and make it where there is none.

    Raises OSError and sqlite3.Error where that is not possible, JournalError where the file is
    another version's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        version = _upgraded(connection)
    except BaseException:
        connection.close()
        raise
    if version != FORMAT:
        connection.close()
        raise JournalError(
            f"the journal {path} has format {version}, this agent writes {FORMAT}",
            fix="update splitsight, or set journal.path to a new file",
        )
    return connection


def _upgraded(connection: sqlite3.Connection) -> int:
    """Make the tables and columns that are lacking, all or none; the format of the file then."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT or (version == FORMAT and not _lacking(connection)):
        return version
    with transaction(connection):
        # Another connection may have been faster.
        for script in [_FIRST, *_lacking(connection)]:
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    return FORMAT


def _lacking(connection: sqlite3.Connection) -> list[str]:
    tables = {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    scripts = [script for name, script in _ADDED.items() if name not in tables]
    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(inspections)")}
    wanted = {column.name: _declared(column) for column in inspection.COLUMNS}
    return scripts + [
        f"ALTER TABLE inspections ADD COLUMN {declared}"
        for name, declared in {**wanted, "review": REVIEW}.items()
        if columns and name not in columns
    ]


def values(one: Inspection) -> tuple[Any, ...]:
    """An inspection as the columns COLUMNS."""
    plain = map(_cell, msgspec.structs.astuple(without_review(one)))
    return *plain, one.verdict == "review"


def inspection_of(row: Sequence[Any]) -> Inspection:
    """An inspection from the columns COLUMNS."""
    *kept, review = row
    cells = [
        msgspec.json.decode(cell) if column.kind is dict else cell
        for column, cell in zip(inspection.COLUMNS, kept, strict=True)
    ]
    found = msgspec.convert(cells, Inspection)
    return with_review(found) if review else found
