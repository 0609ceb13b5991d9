"""One agent a journal: a lock that the kernel releases with the process, however it ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from shared.errors import JournalError


class JournalLock:
    """Held from creation to `release`. Raises JournalError where another process holds it."""

    def __init__(self, journal: Path) -> None:
        path = journal.with_name(journal.name + ".lock")
        self._file: IO[bytes] = path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise JournalError(
                f"the journal {journal} is in use by another agent",
                fix="give each agent a journal.path of its own, or stop the other one",
            ) from error

    def release(self) -> None:
        self._file.close()
