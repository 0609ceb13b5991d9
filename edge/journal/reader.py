"""What of the journal waits for the cloud: a second connection that only reads."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from edge.journal.errors import explain
from edge.journal.file import JournalFile
from edge.journal.schema import COLUMNS, connect, inspection_of
from shared.errors import JournalError
from shared.inspection import Inspection

OnError = Callable[[Exception | None], None]
"""Called with why nothing could be read, and with None where it could."""


class Reader:
    """Reads what is committed, and never waits for the writer. Safe to share between threads.

    Where nothing can be read there is nothing, and `on_error` is told why.
    """

    def __init__(self, file: JournalFile, on_error: OnError) -> None:
        self._file = file
        self._on_error = on_error
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._generation = -1
        self._low = 0
        self._waiting = 0

    def unsent(self, limit: int) -> tuple[list[tuple[int, Inspection]], list[int]]:
        """Decided inspections that the cloud has not acknowledged, oldest first, with their ids,
        and the ids of those that hold none."""
        rows = self._read(
            f"SELECT id, {COLUMNS} FROM inspections WHERE id >= ? AND acknowledged = 0 "  # noqa: S608
            "AND total_ms IS NOT NULL ORDER BY id LIMIT ?",
            limit,
        )
        found, strange = [], []
        for row in rows or []:
            try:
                found.append((row[0], inspection_of(row[1:])))
            except (msgspec.MsgspecError, TypeError, ValueError):
                strange.append(row[0])
        return found, strange

    def waiting(self, at_most: int = 100_000) -> int:
        """How many inspections the cloud has not acknowledged, counted up to a limit; as it was
        last known where that can't be read now."""
        rows = self._read(
            "SELECT count(*) FROM (SELECT 1 FROM inspections WHERE id >= ? AND acknowledged = 0 "
            "LIMIT ?)",
            at_most,
        )
        if rows:
            self._waiting = rows[0][0]
        return self._waiting

    def close(self) -> None:
        """The next read opens anew."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        old, self._connection = self._connection, None
        if old is not None:
            with suppress(sqlite3.Error):
                old.close()

    def _read(self, query: str, limit: int) -> list[tuple[int, ...]] | None:
        try:
            with self._lock:
                connection = self._opened()
                if connection is None:
                    return None
                rows = connection.execute(query, (self._watermark(connection), limit)).fetchall()
        except (OSError, sqlite3.Error, JournalError) as error:
            self._on_error(error)
            return None
        self._on_error(None)
        return rows

    def _opened(self) -> sqlite3.Connection | None:
        """The connection to the file of now; None while there is none."""
        if self._generation != self._file.generation:
            self._close()
            self._low = 0
        if self._file.store is None:
            return None
        if self._connection is None:
            self._generation = self._file.generation
            self._connection = connect(self._file.path)
            self._connection.execute("PRAGMA query_only = ON")
        return self._connection

    def _watermark(self, connection: sqlite3.Connection) -> int:
        """No id below it is unacknowledged, so that acknowledged history is not read again."""
        if self._file.carries_over:
            return 0
        found = connection.execute(
            "SELECT id FROM inspections WHERE id >= ? AND acknowledged = 0 ORDER BY id LIMIT 1",
            (self._low,),
        ).fetchone()
        if found is not None:
            self._low = found[0]
        return self._low


def last_part(path: Path) -> int:
    """The highest part in a journal that may be in use, 0 where there is none.

    Raises JournalError where the file can't be read.
    """
    if not path.exists():
        return 0
    try:
        with closing(connect(path)) as connection:
            found = connection.execute("SELECT max(part) FROM inspections").fetchone()
    except (OSError, sqlite3.Error) as error:
        raise explain(error, path) from error
    return found[0] or 0
