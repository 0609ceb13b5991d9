"""Group commit: one thread that writes whatever has come meanwhile in one transaction."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge.journal.store import JournalStore
from edge.monitoring.health import BoxHealth
from shared.errors import JournalError
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("journal")

GROUP = 64
BACKLOG = 4096
RETRY_S = (0.02, 1.0)
# On a fast disk each part would be a group of its own: two flushes a part, for nothing.
GATHER_S = 0.005
CLOSE_S = 5.0


@dataclass(slots=True)
class Write:
    """One thing to write.

    apply     the statements; may run again after a failed attempt
    done      called after the commit, on the writing thread
    optional  what is left out where the disk is full
    """

    apply: Callable[[JournalStore], None]
    done: Callable[[], None] | None = None
    optional: Callable[[JournalStore], None] | None = None


class GroupCommit:
    """Writes in the order of submission, and tries again for ever where the file can't be written.

    An fsync takes milliseconds, so what comes while one runs shares the next. A write to an idle
    journal does not wait.
    """

    def __init__(self, store: JournalStore, health: BoxHealth) -> None:
        self._store = store
        self._health = health
        self._pending: deque[Write] = deque()
        self._taken: list[Write] = []
        self._changed = threading.Condition()
        self._retry_s = RETRY_S[0]
        self._worker = Worker(
            "journal", self._write, on_death=health.worker_died, unblock=self._look_again
        )

    def submit(self, write: Write) -> None:
        """Returns at once."""
        with self._changed:
            self._pending.append(write)
            self._changed.notify_all()

    def has_room(self, wait_s: float) -> bool:
        """Whether the backlog is short enough for another part, now or within `wait_s`."""
        if len(self._pending) < BACKLOG:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: len(self._pending) < BACKLOG, wait_s)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was submitted is committed."""
        return not self._pending and not self._taken

    def step(self) -> bool:
        """Commit one group. False where that failed: the same group is tried next time."""
        with self._changed:
            while self._pending and len(self._taken) < GROUP:
                self._taken.append(self._pending.popleft())
        if not self._taken:
            return True
        try:
            evicted = self._store.commit(_statements(self._taken))
        except sqlite3.Error as error:
            self._failed(error)
            return False
        self._committed(evicted)
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything submitted, and what its callbacks submitted, is committed."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_idle, timeout_s)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Write what is pending, for CLOSE_S at most, and end the thread."""
        if self._worker.alive:
            self.flush(CLOSE_S)
        self._worker.stop()
        left = len(self._pending) + len(self._taken)
        if left:
            self._health.count("journal_unwritten", left)
            log.error("journal_unwritten", writes=left)

    def _write(self) -> float:
        stopping = self._worker.stopping
        with self._changed:
            self._changed.wait_for(lambda: not self.is_idle or stopping.is_set())
        if not self.step():
            pause, self._retry_s = self._retry_s, min(2 * self._retry_s, RETRY_S[1])
            return pause
        return GATHER_S if len(self._pending) < GROUP else 0.0

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _committed(self, evicted: int) -> None:
        group = self._taken
        self._retry_s = RETRY_S[0]
        self._health.well("journal")
        if evicted:
            self._health.count("unsent_evicted", evicted)
            self._health.problem(
                "outbox", f"{evicted} unsent inspections were dropped: journal.max_bytes is reached"
            )
        for write in group:
            if write.done is not None:
                _call(write.done)
        with self._changed:
            self._taken = []
            self._changed.notify_all()

    def _failed(self, error: sqlite3.Error) -> None:
        self._health.count("journal_retries")
        problem = explain(error, self._store)
        self._health.problem("journal", str(problem))
        if not _is_full(error):
            return
        for write in self._taken:
            if write.optional is not None:
                write.optional = None
                self._health.count("picture_disk_full")
        try:
            self._store.relieve()
        except sqlite3.Error:
            log.debug("journal_not_relieved")


def explain(error: sqlite3.Error, store: JournalStore) -> JournalError:
    """What SQLite said, as an error for the person who runs the box."""
    what, fix = f"can't be written ({error})", "check the disk"
    if _is_full(error):
        what, fix = f"can't grow ({error})", "free disk space"
    elif "locked" in str(error):
        what, fix = "is locked by another program", "close what has it open"
    return JournalError(
        f"the journal {store.path} {what}",
        fix=f"{fix}; parts get the fail-safe verdict until it can be written",
    )


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _statements(group: list[Write]) -> list[Callable[[JournalStore], None]]:
    return [one for write in group for one in (write.apply, write.optional) if one is not None]


def _call(done: Callable[[], None]) -> None:
    try:
        done()
    except Exception:
        # An exception here would end the thread, and with it every later commit.
        log.exception("journal_callback_failed")
