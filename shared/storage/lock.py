"""One process at a time: a lock that the kernel releases with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
import weakref
from pathlib import Path


class ProcessLock:
    """Held from creation to `release`, or until nobody has this object any more.

    Raises BlockingIOError where another one holds it: the file says which, for people.
    """

    def __init__(self, path: Path) -> None:
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise
        os.ftruncate(held, 0)
        os.write(held, f"{socket.gethostname()}:{os.getpid()}".encode())
        self._closing = weakref.finalize(self, os.close, held)

    def release(self) -> None:
        """May be called twice."""
        self._closing()
