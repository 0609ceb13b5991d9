"""What SQLite and the disk say, as what it means for a journal and for the person who runs it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Literal

from shared.errors import JournalError

JournalFault = Literal["full", "locked", "readonly", "damaged", "unreachable", "unstorable"]
"""full         the disk or the folder's quota is
locked       another program writes to the file
readonly     the file, its folder or the disk can't be written
damaged      what is in the file is no journal any more
unreachable  the disk fails, or is gone
unstorable   none of these: the row can't be stored, and never will be"""

_BY_CODE: dict[int, JournalFault] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_PROTOCOL: "locked",
    sqlite3.SQLITE_READONLY: "readonly",
    sqlite3.SQLITE_PERM: "readonly",
    sqlite3.SQLITE_AUTH: "readonly",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_IOERR: "unreachable",
    sqlite3.SQLITE_CANTOPEN: "unreachable",
    sqlite3.SQLITE_NOMEM: "unreachable",
    sqlite3.SQLITE_INTERRUPT: "unreachable",
    # How SQLite says that it could not make the file that its connections share any larger.
    sqlite3.SQLITE_IOERR_SHMSIZE: "full",
    # A sector that can't be read stays so: what is around it can be carried over.
    sqlite3.SQLITE_IOERR_READ: "damaged",
    sqlite3.SQLITE_IOERR_SHORT_READ: "damaged",
    sqlite3.SQLITE_IOERR_CORRUPTFS: "damaged",
}
_BY_ERRNO: dict[int | None, JournalFault] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EROFS: "readonly",
    errno.EACCES: "readonly",
    errno.EPERM: "readonly",
}
_SAID: dict[JournalFault, tuple[str, str]] = {
    "full": ("can't grow", "free disk space"),
    "locked": ("is locked by another program", "close what has it open"),
    "readonly": (
        "can't be written",
        "let this user write the file and its folder; a disk that went read-only is failing",
    ),
    "damaged": ("is damaged", "nothing need be done: it is put aside and kept"),
    "unreachable": ("can't be reached", "check that the disk is there and works"),
    "unstorable": ("can't be used", "set journal.path to a new file"),
}
GONE = ("no such table", "no such column")


def fault_of(error: BaseException) -> JournalFault:
    """What an error of a read or a write means."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code == sqlite3.SQLITE_ERROR and any(one in str(error) for one in GONE):
            return "damaged"
        return _BY_CODE.get(code) or _BY_CODE.get(code & 0xFF) or "unstorable"
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno, "unreachable")
    return "unstorable"


def explain(error: BaseException, path: Path, *, free: int | None = None) -> JournalError:
    """The same for people.

    free   bytes that the disk has left; None: not known
    """
    fault = fault_of(error)
    what, fix = _SAID[fault]
    room = f"; {free // 1_000_000} MB are free" if fault == "full" and free is not None else ""
    return JournalError(
        f"the journal {path} {what} ({error}{room})",
        fix=f"{fix}; parts get the fail-safe verdict until it can be written",
    )
