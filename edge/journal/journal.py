"""What the box must not forget: every inspection until the cloud has it, and a ring of pictures."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from edge.journal.group_commit import GroupCommit, Write
from edge.journal.lock import JournalLock
from edge.journal.reader import Reader
from edge.journal.store import Caps, JournalStore
from edge.monitoring.health import BoxHealth
from shared.contracts import Control, Verdict
from shared.errors import JournalError
from shared.inspection import Inspection
from shared.log import get_logger
from shared.wire import LabelReceipt, PartLabel

log = get_logger("journal")

ROOM_S = 1.0


class Journals(Protocol):
    """What the agent needs of a journal; see `Journal` for each method.

    boot        names this opening's inspections for ever, together with their sequence
    last_part   the highest part that was ever journaled, 0 for none
    """

    boot: str
    last_part: int

    def record(
        self, inspection: Inspection, picture: bytes | None, committed: Callable[[], None] | None
    ) -> bool: ...

    def answer(
        self,
        sequence: int,
        verdict: Verdict,
        score: float,
        committed: Callable[[], None] | None,
        control: Control = "",
    ) -> None: ...

    def settle(self, sequence: int, total_ms: float, escalated_bytes: int) -> None: ...

    def fail_safe(self, inspection: Inspection) -> None: ...


class Journal:
    """Durable inspections of one device. Nothing here waits for the disk but `flush`.

    boot        random for this opening; names its inspections for ever
    last_part   the highest part that was ever journaled, 0 for none
    """

    def __init__(
        self, store: JournalStore, reader: Reader, health: BoxHealth, lock: JournalLock
    ) -> None:
        self._reader = reader
        self._lock = lock
        self._store = store
        self._health = health
        self.boot = secrets.token_hex(8)
        self._before, self.last_part = store.last()
        self.commits = GroupCommit(store, health)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        max_bytes: int,
        ring_bytes: int,
        health: BoxHealth,
        label_bytes: int = 0,
    ) -> Journal:
        """Open the file and decide what a crash left open. Raises JournalError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalLock(path)
        try:
            store = _opened(
                path, Caps.of(max_bytes, ring_bytes, path, labels=label_bytes), max_bytes
            )
        except sqlite3.Error as error:
            lock.release()
            raise JournalError(
                f"the journal {path} can't be read ({error})",
                fix="move the damaged file away: the agent makes a new one",
            ) from error
        except BaseException:
            lock.release()
            raise
        return cls(store, Reader(path), health, lock)

    def record(
        self, inspection: Inspection, picture: bytes | None, committed: Callable[[], None] | None
    ) -> bool:
        """Write an inspection, and call `committed` on the writing thread once it is on disk.

        Waits ROOM_S at most where the disk is far behind; False where it was dropped after that.
        """
        if not self.commits.has_room(ROOM_S):
            self._health.count("journal_backlog_full")
            return False
        row_id = self._id(inspection.sequence)
        optional = None
        if picture is not None:
            optional = _keeping(row_id, picture)
        self.commits.submit(
            Write(lambda store: store.record(row_id, inspection), committed, optional)
        )
        return True

    def answer(
        self,
        sequence: int,
        verdict: Verdict,
        score: float,
        committed: Callable[[], None] | None,
        control: Control = "",
    ) -> None:
        """Write the cloud's answer to an escalation.

        control   the answer, where the part was drawn as a control and `verdict` is a review
        """
        row_id = self._id(sequence)
        self.commits.submit(
            Write(lambda store: store.answer(row_id, verdict, score, control), committed)
        )

    def settle(self, sequence: int, total_ms: float, escalated_bytes: int) -> None:
        """Write that the verdict went to the actuator; from now on the cloud may be told."""
        row_id = self._id(sequence)
        self.commits.submit(Write(lambda store: store.settle(row_id, total_ms, escalated_bytes)))

    def fail_safe(self, inspection: Inspection) -> None:
        """Write that the deadline decided, whatever was written before."""
        row_id = self._id(inspection.sequence)
        self.commits.submit(Write(lambda store: store.fail_safe(row_id, inspection)))

    def unsent(self, limit: int) -> list[tuple[int, Inspection]]:
        """Decided inspections that the cloud has not acknowledged, oldest first, with their ids."""
        return self._reader.unsent(limit)

    def waiting(self) -> int:
        """How many inspections the cloud has not acknowledged."""
        return self._reader.waiting()

    def acknowledge(self, row_ids: Sequence[int], committed: Callable[[], None]) -> None:
        """Write that the cloud has these inspections."""
        self.commits.submit(Write(lambda store: store.acknowledge(row_ids), committed))

    def label(
        self,
        rows: Sequence[PartLabel],
        domain: str,
        committed: Callable[[list[LabelReceipt]], None],
    ) -> None:
        """Write what inspectors say of parts, and call `committed` with what became of each."""
        became: list[LabelReceipt] = []

        def write(store: JournalStore) -> None:
            # A failed attempt is repeated.
            became.clear()
            for row in rows:
                kept = store.label(row, domain)
                became.append(LabelReceipt(row.boot, row.sequence, row.labelled_at, kept))

        self.commits.submit(Write(write, lambda: committed(became)))

    def start(self) -> None:
        self.commits.start()

    def flush(self, timeout_s: float) -> bool:
        return self.commits.flush(timeout_s)

    def close(self) -> None:
        self.commits.stop()
        self._reader.close()
        self._store.close()
        self._lock.release()

    def _id(self, sequence: int) -> int:
        return self._before + sequence


def _opened(path: Path, caps: Caps, wanted_bytes: int) -> JournalStore:
    if caps.rows < wanted_bytes:
        log.warning("disk_small", journal_bytes=caps.rows, ring_bytes=caps.ring)
    store = JournalStore(path, caps)
    recovered = store.recover()
    if recovered:
        log.warning("escalations_recovered", count=recovered, verdict="reject")
    return store


def _keeping(row_id: int, picture: bytes) -> Callable[[JournalStore], None]:
    return lambda store: store.keep_picture(row_id, picture)
