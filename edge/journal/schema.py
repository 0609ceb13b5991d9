"""The journal's tables, and how its file is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from shared.errors import JournalError

FORMAT = 1
BUSY_S = 0.05
WAL_BYTES = 16 << 20

COLUMNS = (
    "id, boot, sequence, part, decision, verdict, decided_by, score, inspected_at, edge_ms, "
    "total_ms, escalated_bytes, frame_bytes, source, bundle"
)

_FIRST = """
CREATE TABLE IF NOT EXISTS inspections (
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    part INTEGER NOT NULL,
    decision TEXT NOT NULL,
    verdict TEXT,
    decided_by TEXT,
    score REAL NOT NULL,
    inspected_at REAL NOT NULL,
    edge_ms REAL NOT NULL,
    total_ms REAL,
    escalated_bytes INTEGER NOT NULL,
    frame_bytes INTEGER NOT NULL,
    source TEXT NOT NULL,
    bundle TEXT NOT NULL,
    cloud_score REAL,
    late_verdict TEXT,
    late_score REAL,
    acknowledged INTEGER NOT NULL DEFAULT 0,
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
# Tables that an older agent of the same format does not know, and need not: an update of the agent
# that is taken back must find a journal that it can write.
_ADDED = {"labelled": _LABELS}


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal's file, and make it where there is none.

    Raises JournalError where that is not possible or the file is another program's.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        version = _upgraded(connection)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            f"the journal {path} can't be opened ({error})",
            fix="check the folder's rights and free space, or move a damaged file away",
        ) from error
    if version != FORMAT:
        connection.close()
        raise JournalError(
            f"the journal {path} has format {version}, this agent writes {FORMAT}",
            fix="update splitsight, or set journal.path to a new file",
        )
    return connection


def _upgraded(connection: sqlite3.Connection) -> int:
    """Make the tables that are lacking, all or none; the format that the file has then."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT or (version == FORMAT and not _lacking(connection)):
        return version
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another connection may have been faster.
        for script in [_FIRST, *_lacking(connection)]:
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return FORMAT


def _lacking(connection: sqlite3.Connection) -> list[str]:
    known = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [script for name, script in _ADDED.items() if (name,) not in known]
