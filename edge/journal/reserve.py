"""Room on the disk that is kept for the moment when it is full."""

from __future__ import annotations

import os
from pathlib import Path

from edge.journal.quota import Quota
from shared.log import get_logger

log = get_logger("journal")

# What waits beside the file and may have to be brought into it before anything can be deleted.
RESERVE_BYTES = 4 << 20
LEAST_FREE = 8 * RESERVE_BYTES


class DiskReserve:
    """A file beside the journal. SQLite can't even delete where it can't write, so without this a
    full disk could not be helped by giving up pictures."""

    def __init__(self, journal: Path, quota: Quota) -> None:
        self._journal = journal
        self._path = journal.with_name(journal.name + ".reserve")
        self._quota = quota

    def keep(self) -> None:
        """Have it, where the disk has enough. Does nothing where it can't be made."""
        free = self._quota.free(self._journal)
        if self._path.exists() or free is None or free < LEAST_FREE:
            return
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.posix_fallocate(handle, 0, RESERVE_BYTES)
            finally:
                os.close(handle)
        except OSError as error:
            log.debug("no_reserve", error=str(error))
            self.give_back()

    def give_back(self) -> None:
        """The disk is full: let go of it. May be called where there is none."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.debug("reserve_not_given_back", error=str(error))
