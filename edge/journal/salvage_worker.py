"""Carries over what the cloud lacks of a journal that was put aside, while the line goes on."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from functools import partial

from edge.journal.backlog import MOST_PARTS, Write
from edge.journal.file import JournalFile
from edge.journal.group_commit import GroupCommit
from edge.journal.salvage import (
    UnreadJournal,
    decided,
    finish,
    labelled,
    masks,
    open_aside,
    unsent,
)
from edge.journal.store import JournalStore
from edge.monitoring.health import BoxHealth
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("journal")

ROWS = 200
PICTURES = 4
MASKS_AT_ONCE = 50
LOOK_S = 1.0
PAUSE_S = 0.02


class SalvageWorker:
    """One journal after the other, in small writes among those of the line."""

    def __init__(self, file: JournalFile, commits: GroupCommit, health: BoxHealth) -> None:
        self._file = file
        self._commits = commits
        self._health = health
        self._writes: Iterator[Write] | None = None
        self._worker = Worker("salvage", self.step, on_death=health.worker_died, retry_s=LOOK_S)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def step(self) -> float:
        """Hand on one write; the seconds until the next is due."""
        if self._commits.waiting > MOST_PARTS // 4:
            # The line's own go first.
            return PAUSE_S
        if self._writes is None:
            if not self._file.unread:
                return LOOK_S
            self._writes = self._of(self._file.unread.popleft())
        write = next(self._writes, None)
        if write is None:
            self._writes = None
            return 0.0
        self._commits.submit(write)
        return PAUSE_S

    def _of(self, journal: UnreadJournal) -> Iterator[Write]:
        carried = pictures = 0
        name = f"what {journal.path.name} still holds"
        try:
            with open_aside(journal.path) as connection:
                cells = map(decided, unsent(connection, journal.last.row))
                while rows := list(itertools.islice(cells, ROWS)):
                    carried += len(rows)
                    yield Write(name, partial(JournalStore.carry, rows=rows))
                pictured = labelled(connection, journal.last.row)
                while rows := list(itertools.islice(pictured, PICTURES)):
                    pictures += len(rows)
                    yield Write(name, partial(JournalStore.carry_labelled, rows=rows))
                drawn = masks(connection)
                while rows := list(itertools.islice(drawn, MASKS_AT_ONCE)):
                    yield Write(name, partial(JournalStore.carry_masks, rows=rows))
        except sqlite3.Error as error:
            log.warning("journal_unreadable", path=str(journal.path), error=str(error))
        yield Write(name, _nothing, partial(self._finished, journal, carried, pictures))

    def _finished(self, journal: UnreadJournal, carried: int, pictures: int) -> None:
        self._file.carried()
        path = finish(journal.path)
        self._health.count("inspections_carried_over", carried)
        log.warning(
            "journal_carried_over", path=str(path), inspections=carried, labelled_pictures=pictures
        )


def _nothing(_store: JournalStore) -> None:
    """Committed when all before it are."""
