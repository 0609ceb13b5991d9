"""The journal's file, whichever it is: one that is damaged or gone makes room for a new one."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from edge.journal.errors import explain, fault_of
from edge.journal.part_counter import Numbers, PartCounter
from edge.journal.quota import Quota
from edge.journal.salvage import (
    Cells,
    UnreadJournal,
    final,
    highest,
    last_of,
    open_aside,
    put_aside,
    unread,
    unsent,
)
from edge.journal.store import JournalStore
from edge.monitoring.health import BoxHealth
from shared.errors import JournalError
from shared.log import get_logger

log = get_logger("journal")

# More than can be open in an agent: their answers are about to be written.
NEWEST = 1024
MOST_CARRIED_AT_ONCE = 50_000


class JournalFile:
    """Opens, and opens anew. For one thread at a time, but `store` and `generation`.

    store        None while the file can't be opened
    generation   counts the files that `store` has been
    unread       put aside, with something in them that is not carried over yet
    """

    def __init__(self, path: Path, quota: Quota, health: BoxHealth) -> None:
        self.path = path
        self.quota = quota
        self._health = health
        self.counter = PartCounter.beside(path)
        self.store: JournalStore | None = None
        self.generation = 0
        self.unread: deque[UnreadJournal] = deque()
        self._carrying = 0
        self._known = Numbers()
        self._let_go: Callable[[], None] = lambda: None

    def on_replacement(self, let_go: Callable[[], None]) -> None:
        """Call `let_go`, which closes every other connection, before a file gets another name."""
        self._let_go = let_go

    @property
    def carries_over(self) -> bool:
        """Whether rows may still come that are older than what the file has."""
        return self._carrying > 0

    def carried(self) -> None:
        """All of one that was unread has come."""
        self._carrying -= 1

    @property
    def last(self) -> Numbers | None:
        """The highest numbers that were ever given out; None where nothing says so."""
        if self.store is None:
            return self.counter.below if self.counter.below.row else None
        held = self.store.last()
        if not held.row:
            # A new file, where there may have been another.
            held = self._known if self._known.row else self.counter.below
        return held | self.counter.given

    @property
    def is_new(self) -> bool:
        """Whether it has no inspections yet."""
        return self.store is not None and not self.store.last().row

    @property
    def writable(self) -> JournalStore:
        """Raises JournalError while there is none."""
        if self.store is None:
            raise JournalError(f"the journal {self.path} is not open", fix="open it first")
        return self.store

    def open(self) -> None:
        """Decides what a crash left open. Raises JournalError where it can't be opened now."""
        try:
            self._remember_unread()
            self._use(self._recovered())
        except (OSError, sqlite3.Error) as error:
            if fault_of(error) != "damaged":
                raise self.explain(error) from error
            self.replace(error)

    def replace(self, error: BaseException, given: Numbers | None = None) -> None:
        """Put the file aside, or let go of it where it is gone, and go on with a new one.

        given   the highest numbers that were given out; None: the file may know
        Raises JournalError where that is not possible now; `open` tries again.
        """
        kept: Path | None = None
        rows = self._rows_of_gone(given)
        gone = self.store is not None and self.store.gone
        self.close()
        try:
            kept = None if gone or not self.path.exists() else put_aside(self.path)
            last = given or self._highest(kept)
            self._known |= last
            self.counter.keep(last)
            if kept is not None:
                # Before anybody reads the new one.
                self._carrying += 1
                self.unread.append(UnreadJournal(kept, last))
                rows = _newest(kept, given) if given else []
            store = JournalStore(self.path, self.quota)
        except (OSError, sqlite3.Error) as failed:
            raise self.explain(failed) from failed
        finally:
            if kept is not None or gone:
                self._tell(error, kept)
        self._use(store)
        if rows:
            with contextlib.suppress(sqlite3.Error):
                store.commit([lambda new: new.carry(rows)])

    def explain(self, error: BaseException) -> JournalError:
        """What an error means for the person who runs the box."""
        return explain(error, self.path, free=self.quota.free(self.path))

    def close(self) -> None:
        """Every connection. May be called twice."""
        old, self.store = self.store, None
        self.generation += 1
        self._let_go()
        if old is not None:
            with contextlib.suppress(sqlite3.Error):
                old.close()

    def _use(self, store: JournalStore) -> None:
        self.store = store
        self.generation += 1
        configured = self.quota.configured
        if store.caps != configured:
            log.warning("disk_small", journal_bytes=store.caps.rows, ring_bytes=store.caps.ring)

    def _recovered(self) -> JournalStore:
        store = JournalStore(self.path, self.quota)
        try:
            recovered = store.recover()
            # Read now what would only be found out later.
            store.last()
        except BaseException:
            store.close()
            raise
        if recovered:
            log.warning("escalations_recovered", count=recovered, verdict="reject")
        return store

    def _remember_unread(self) -> None:
        """What an earlier start put aside, and did not come to the end of."""
        known = {one.path for one in self.unread}
        for path in unread(self.path):
            if not self._carrying and path not in known:
                self.unread.append(UnreadJournal(path, self._highest(path)))
        self._carrying = max(self._carrying, len(self.unread))

    def _highest(self, path: Path | None) -> Numbers:
        if path is None:
            return self.counter.below
        try:
            with open_aside(path) as connection:
                try:
                    return last_of(connection)
                except sqlite3.Error:
                    return highest(connection) | self.counter.below
        except sqlite3.Error:
            return self.counter.below

    def _rows_of_gone(self, given: Numbers | None) -> list[Cells]:
        """What the cloud lacks of a file that has no name any more."""
        if self.store is None or not self.store.gone:
            return []
        last = given or self.counter.below
        return list(islice(unsent(self.store.connection, last.row), MOST_CARRIED_AT_ONCE))

    def _tell(self, error: BaseException, kept: Path | None) -> None:
        if kept is None:
            self._health.count("journals_gone")
            text = f"{self.path} was moved or deleted while the agent ran; a new one was made"
        else:
            self._health.count("journals_put_aside")
            text = (
                f"{self.path} was damaged ({error}) and is kept as {final(kept).name}; a new one "
                "was made, and what is left of it for the cloud is carried over. Check the disk, "
                "and delete the kept file once nobody needs it"
            )
        self._health.problem("journal replaced", text)


def _newest(kept: Path, given: Numbers) -> list[Cells]:
    try:
        with open_aside(kept) as connection:
            return list(unsent(connection, given.row, max(1, given.row - NEWEST)))
    except sqlite3.Error:
        return []
