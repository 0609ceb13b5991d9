"""Group commit: one thread that writes whatever has come meanwhile in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping

from edge.journal.backlog import MOST_PARTS, MOST_WRITES, Backlog, Write
from edge.journal.errors import fault_of
from edge.journal.file import JournalFile
from edge.journal.part_counter import Numbers
from edge.journal.store import MOST_WAL_BYTES, EvictionReason, JournalStore
from edge.monitoring.health import BoxHealth
from shared.errors import JournalError
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("journal")

GROUP = 64
RETRY_S = (0.02, 1.0)
# On a fast disk each part would be a group of its own: two flushes a part, for nothing.
GATHER_S = 0.005
CLOSE_S = 5.0
LOW_BYTES = 64 << 20
_EVICTED_FOR: dict[EvictionReason, str] = {
    "max_bytes": "journal.max_bytes is reached",
    "disk": "the disk is nearly full: free space on it",
    "age": "they have waited for longer than journal.max_days",
}


class GroupCommit:
    """Writes in the order of submission, and tries again for ever where the file can't be written.

    An fsync takes milliseconds, so what comes while one runs shares the next. A write to an idle
    journal does not wait. A write that can't be stored, whatever it raises, costs itself alone.
    """

    def __init__(self, file: JournalFile, health: BoxHealth) -> None:
        self._file = file
        self._health = health
        self._backlog = Backlog()
        self._taken: list[Write] = []
        self._damage: BaseException | None = None
        self._given: Numbers | None = None
        self._refused: set[str] = set()
        self._retry_s = RETRY_S[0]
        self._worker = Worker(
            "journal", self._write, on_death=health.worker_died, unblock=self._look_again
        )

    @property
    def keeps_pictures(self) -> bool:
        """Whether there is room for one more: in memory, and beside what a reader holds back."""
        store = self._file.store
        return self._backlog.has_room_for_pictures and (
            store is None or store.wal_bytes <= MOST_WAL_BYTES
        )

    def submit(self, write: Write, *, part: bool = False) -> bool:
        """Returns at once; False where too much waits already.

        part   it is a new one's first: these leave room for what becomes of earlier ones
        """
        return self._backlog.put(write, MOST_PARTS if part else MOST_WRITES)

    def given(self, numbers: Numbers) -> None:
        """These are the highest numbers now, whether their rows are written or not."""
        self._given = numbers if self._given is None else self._given | numbers

    def remember(self) -> None:
        """No more numbers are given out."""
        if self._given is not None:
            self._file.counter.end(self._given)

    def damaged(self, error: BaseException) -> None:
        """Somebody who read the file found it so. From any thread."""
        with self._backlog.changed:
            self._damage = error
            self._backlog.changed.notify_all()

    @property
    def waiting(self) -> int:
        """Writes that are not committed."""
        return len(self._backlog) + len(self._taken)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was submitted is committed."""
        return not self.waiting

    def step(self) -> bool:
        """Commit one group. False where that failed: the same group is tried next time."""
        self._backlog.take_into(self._taken, GROUP)
        try:
            store = self._usable_store()
        except JournalError as error:
            self._unwritable(error)
            return False
        if not self._taken:
            return True
        try:
            evicted = store.commit(_statements(self._taken))
        except Exception as error:  # noqa: BLE001 - whatever a write raises
            if fault_of(error) != "unstorable":
                self._failed(error, store)
                return False
            return self._one_by_one(store)
        self._committed(store, len(self._taken), evicted)
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything submitted, and what its callbacks submitted, is committed."""
        with self._backlog.changed:
            return self._backlog.changed.wait_for(lambda: self.is_idle, timeout_s)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Write what is pending, for CLOSE_S at most, and end the thread."""
        if self._worker.alive:
            self.flush(CLOSE_S)
        self._worker.stop()
        if self.waiting:
            self._health.count("journal_unwritten", self.waiting)
            log.error("journal_unwritten", writes=self.waiting)

    def _write(self) -> float:
        stopping = self._worker.stopping
        with self._backlog.changed:
            # Stopping is told through `_look_again`.
            self._backlog.changed.wait_for(
                lambda: not self.is_idle or self._damage is not None or stopping.is_set()
            )
        if not self.step():
            pause, self._retry_s = self._retry_s, min(2 * self._retry_s, RETRY_S[1])
            return pause
        return GATHER_S if len(self._backlog) < GROUP else 0.0

    def _look_again(self) -> None:
        with self._backlog.changed:
            self._backlog.changed.notify_all()

    def _usable_store(self) -> JournalStore:
        """The one to write to, opened anew where it has to be. Raises JournalError."""
        store = self._file.store
        if store is not None and self._damage is None and store.gone:
            self._damage = FileNotFoundError("it is not there any more")
        if store is not None and self._damage is not None:
            damage, self._damage = self._damage, None
            self._file.replace(damage, self._given)
        elif store is None:
            self._damage = None
            self._file.open()
        return self._file.writable

    def _one_by_one(self, store: JournalStore) -> bool:
        """What one of a group has raised must not cost the others anything."""
        while self._taken:
            write = self._taken[0]
            try:
                evicted = store.commit(write.statements)
            except Exception as error:  # noqa: BLE001 - whatever a write raises
                if fault_of(error) != "unstorable":
                    self._failed(error, store)
                    return False
                self._refuse(write, error)
                continue
            self._committed(store, 1, evicted)
        return True

    def _refuse(self, write: Write, error: Exception) -> None:
        if write.picture is not None:
            write.leave_picture_out()
            self._health.count("pictures_refused")
            return
        self._health.count("writes_refused")
        kind = type(error).__name__
        if kind not in self._refused:
            self._refused.add(kind)
            log.error("write_refused", write=write.name, error=f"{kind}: {error}")
        self._done(1)

    def _committed(
        self, store: JournalStore, count: int, evicted: Mapping[EvictionReason, int]
    ) -> None:
        self._retry_s = RETRY_S[0]
        self._health.well("journal")
        if self._given is not None:
            self._file.counter.cover(self._given)
        for reason, number in evicted.items():
            if number:
                self._health.count("unsent_evicted", number)
                self._health.count(f"unsent_evicted_{reason}", number)
                text = f"{number} unsent inspections were dropped: {_EVICTED_FOR[reason]}"
                self._health.problem("outbox", text)
        self._tell_room(store)
        for write in self._taken[:count]:
            if write.done is not None:
                _call(write.done)
        self._done(count)

    def _done(self, count: int) -> None:
        with self._backlog.changed:
            self._taken = self._taken[count:]
            self._backlog.changed.notify_all()

    def _tell_room(self, store: JournalStore) -> None:
        rows = store.caps.rows
        if rows < min(LOW_BYTES, self._file.quota.configured.rows):
            self._health.problem(
                "disk",
                f"the disk of {store.path} is nearly full: {rows >> 20} MB are left for "
                f"inspections that wait for the cloud and {store.caps.ring >> 20} MB for pictures; "
                "free space on it",
            )
        else:
            self._health.well("disk")
        if store.wal_bytes > MOST_WAL_BYTES:
            self._health.problem(
                "journal log",
                f"another program has been reading {store.path} for long, and "
                f"{store.wal_bytes >> 20} MB wait beside it: close that program; until then no "
                "pictures are kept",
            )
        else:
            self._health.well("journal log")

    def _failed(self, error: Exception, store: JournalStore) -> None:
        fault = fault_of(error)
        if fault == "damaged":
            self._damage = error
        self._unwritable(self._file.explain(error))
        if fault != "full":
            return
        for write in self._taken:
            if write.picture is not None:
                write.leave_picture_out()
                self._health.count("picture_disk_full")
        try:
            store.relieve()
        except sqlite3.Error as unrelieved:
            log.debug("journal_not_relieved", error=str(unrelieved))

    def _unwritable(self, error: JournalError) -> None:
        self._health.count("journal_retries")
        self._health.problem("journal", str(error))


def _statements(group: Iterable[Write]) -> list[Callable[[JournalStore], None]]:
    return [statement for write in group for statement in write.statements]


def _call(done: Callable[[], None]) -> None:
    try:
        done()
    except Exception:
        # An exception here would end the thread, and with it every later commit.
        log.exception("journal_callback_failed")
