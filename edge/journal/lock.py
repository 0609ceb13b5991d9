"""One agent a journal."""

from __future__ import annotations

from pathlib import Path

from shared.errors import JournalError
from shared.storage.lock import ProcessLock


class JournalLock(ProcessLock):
    """Held from creation to `release`. Raises JournalError where another process holds it."""

    def __init__(self, journal: Path) -> None:
        try:
            super().__init__(journal.with_name(journal.name + ".lock"))
        except BlockingIOError as error:
            raise JournalError(
                f"the journal {journal} is in use by another agent",
                fix="give each agent a journal.path of its own, or stop the other one",
            ) from error
