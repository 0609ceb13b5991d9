"""What of the journal waits for the cloud: a second connection that only reads."""

from __future__ import annotations

from pathlib import Path

from edge.journal.schema import COLUMNS, connect, inspection_of
from shared.inspection import Inspection


class Reader:
    """Reads what is committed, and never waits for the writer. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._connection.execute("PRAGMA query_only = ON")
        self._low = 0

    def unsent(self, limit: int) -> list[tuple[int, Inspection]]:
        """Decided inspections that the cloud has not acknowledged, oldest first, with their ids."""
        rows = self._connection.execute(
            f"SELECT id, {COLUMNS} FROM inspections WHERE id >= ? AND acknowledged = 0 "  # noqa: S608
            "AND total_ms IS NOT NULL ORDER BY id LIMIT ?",
            (self._watermark(), limit),
        ).fetchall()
        return [(row[0], inspection_of(row[1:])) for row in rows]

    def waiting(self, at_most: int = 100_000) -> int:
        """How many inspections the cloud has not acknowledged, counted up to a limit."""
        count: int = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM inspections WHERE id >= ? AND acknowledged = 0 "
            "LIMIT ?)",
            (self._watermark(), at_most),
        ).fetchone()[0]
        return count

    def close(self) -> None:
        self._connection.close()

    def _watermark(self) -> int:
        """No id below it is unacknowledged, so that acknowledged history is not read again."""
        found = self._connection.execute(
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
    connection = connect(path)
    try:
        found = connection.execute("SELECT max(part) FROM inspections").fetchone()
    finally:
        connection.close()
    return found[0] or 0
