"""The pictures that the journal still has, read while the agent writes to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol

from edge.journal.schema import connect_to_read
from shared.errors import JournalError

BUSY_S = 1.0
# A picture that an inspector has labelled has left the ring for a table of its own.
_PICTURE = (
    "SELECT picture FROM inspections JOIN frames USING (id) WHERE boot = ? AND sequence = ?",
    "SELECT picture FROM labelled WHERE boot = ? AND sequence = ?",
)


class KeptPictures(Protocol):
    """Where pictures of inspections are kept for a while."""

    def picture(self, boot: str, sequence: int) -> bytes | None:
        """As it was kept; None where it is not there any more, or never was.

        Raises JournalError where that can't be said now.
        """


class FixedPictures:
    """Keeps what it is given, for tests."""

    def __init__(self, pictures: Mapping[tuple[str, int], bytes]) -> None:
        self._pictures = pictures

    def picture(self, boot: str, sequence: int) -> bytes | None:
        return self._pictures.get((boot, sequence))


class JournalPictures:
    """Ring and labelled pictures of a journal's file.

    Each read is a connection of its own, so that none holds back what the agent writes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def picture(self, boot: str, sequence: int) -> bytes | None:
        try:
            with closing(self._connect()) as connection:
                for query in _PICTURE:
                    row = connection.execute(query, (boot, sequence)).fetchone()
                    if row is not None:
                        return bytes(row[0])
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"a picture in {self._path} can't be read ({error})",
                fix="see what the box says of its journal",
            ) from error
        return None

    def _connect(self) -> sqlite3.Connection:
        return connect_to_read(self._path, BUSY_S, "this agent")
