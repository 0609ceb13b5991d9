"""What the box must not forget: every inspection until the cloud has it, and a ring of pictures."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from edge.journal.backlog import Write
from edge.journal.diversions import Diversions
from edge.journal.errors import explain, fault_of
from edge.journal.file import JournalFile
from edge.journal.group_commit import GroupCommit
from edge.journal.lock import JournalLock
from edge.journal.part_counter import Numbers
from edge.journal.quota import Caps, FreeSpace, Quota, free_space
from edge.journal.reader import Reader
from edge.journal.salvage_worker import SalvageWorker
from edge.journal.store import JournalStore
from edge.monitoring.health import BoxHealth
from shared.clock import Clock, SystemClock
from shared.contracts import Control, Verdict
from shared.errors import JournalError, said
from shared.inspection import UNASKED, Inspection, WayTimes
from shared.log import get_logger
from shared.wire import LabelReceipt, PartLabel, Withdrawal

log = get_logger("journal")


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

    def settle(
        self, sequence: int, total_ms: float, escalated_bytes: int, way: WayTimes = ...
    ) -> None: ...

    def fail_safe(self, inspection: Inspection) -> None: ...

    def divert(self, inspection: Inspection) -> None: ...


class Journal:
    """Durable inspections of one device. Nothing here waits for the disk but `flush`.

    boot        random for this opening; names its inspections for ever
    last_part   the highest part that was ever journaled or skipped, 0 for none
    unclean     whether the agent before this one was killed: then parts that were open, none of
                which had a verdict, had numbers above `last_part`
    """

    def __init__(
        self,
        file: JournalFile,
        last: Numbers,
        health: BoxHealth,
        lock: JournalLock,
        diversions: Diversions,
    ) -> None:
        self.file = file
        self._diversions = diversions
        self.unclean = diversions.unclean
        self._lock = lock
        self._health = health
        self.boot = secrets.token_hex(8)
        self._before, self.last_part = last.row, last.part
        self.commits = GroupCommit(file, health)
        self._reader = Reader(file, self._read)
        self.salvage = SalvageWorker(file, self.commits, health)
        file.on_replacement(self._reader.close)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        max_bytes: int,
        ring_bytes: int,
        health: BoxHealth,
        label_bytes: int = 0,
        free: FreeSpace = free_space,
        max_age_s: float = math.inf,
        clock: Clock | None = None,
    ) -> Journal:
        """Open the file and decide what a crash left open. A damaged one is put aside.

        free        bytes that are free on the disk of a folder
        max_age_s   seconds of running for which an inspection waits for the cloud
        Where the file can't be opened now, say since the disk is full, it is tried again while
        parts get the fail-safe verdict. Raises JournalError where it is another agent's or
        version's, or nothing says which part numbers were given out.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = JournalLock(path)
        except OSError as error:
            raise explain(error, path) from error
        try:
            quota = Quota(
                Caps(max_bytes, ring_bytes, label_bytes),
                free,
                max_age_s=max_age_s,
                monotonic=(clock or SystemClock()).monotonic,
            )
            file = JournalFile(path, quota, health)
            diversions = Diversions(path, health)
            last = _opened(file, health, diversions)
            file.counter.cover(last)
        except BaseException:
            lock.release()
            raise
        return cls(file, last, health, lock, diversions)

    def record(
        self, inspection: Inspection, picture: bytes | None, committed: Callable[[], None] | None
    ) -> bool:
        """Write an inspection, and call `committed` on the writing thread once it is on disk.

        Returns at once; False where the disk is so far behind that it was dropped: then the
        deadline decides, and what that decides is written as soon as it can be.
        """
        self._given(inspection)
        write = self._write_of(inspection, JournalStore.record, committed)
        if picture is not None and self.commits.keeps_pictures:
            write.picture = _keeping(self._id(inspection.sequence), picture)
            write.size = len(picture)
        elif picture is not None:
            self._health.count("pictures_skipped")
        return self._submit(write, part=True)

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
        self._submit(
            Write(
                f"the answer to inspection {sequence}",
                lambda store: store.answer(row_id, verdict, score, control),
                committed,
            )
        )

    def settle(
        self, sequence: int, total_ms: float, escalated_bytes: int, way: WayTimes = UNASKED
    ) -> None:
        """Write that the verdict went to the actuator; from now on the cloud may be told."""
        row_id = self._id(sequence)
        self._submit(
            Write(
                f"the end of inspection {sequence}",
                lambda store: store.settle(row_id, total_ms, escalated_bytes, way),
            )
        )

    def divert(self, inspection: Inspection) -> None:
        """Note that the deadline decides, before the actuator is told: for the case that the
        process ends before `fail_safe` is on disk. Waits for no disk.
        """
        self._given(inspection)
        self._diversions.note(inspection)

    def fail_safe(self, inspection: Inspection) -> None:
        """Write that the deadline decided, whatever was written before."""
        self._given(inspection)
        written = partial(self._diversions.journaled, inspection.sequence)
        self._submit(self._write_of(inspection, JournalStore.fail_safe, written))

    def unsent(self, limit: int) -> list[tuple[int, Inspection]]:
        """Decided inspections that the cloud has not acknowledged, oldest first, with their ids."""
        found, strange = self._reader.unsent(limit)
        if strange:
            # They would be read again for ever, and hold back what comes after them.
            self._health.count("unsent_unreadable", len(strange))
            log.error("inspections_unreadable", rows=strange)
            self.acknowledge(strange, lambda: None)
        return found

    def waiting(self) -> int:
        """How many inspections the cloud has not acknowledged."""
        return self._reader.waiting()

    def acknowledge(self, row_ids: Sequence[int], committed: Callable[[], None]) -> None:
        """Write that the cloud has these inspections."""
        self.commits.submit(Write("a receipt", lambda store: store.acknowledge(row_ids), committed))

    def label(
        self,
        rows: Sequence[PartLabel],
        domain: str,
        committed: Callable[[list[LabelReceipt]], None],
        withdrawn: Sequence[Withdrawal] = (),
    ) -> None:
        """Write what inspectors say of parts, and what they took back, and call `committed` with
        what became of each."""
        became: list[LabelReceipt] = []

        def write(store: JournalStore) -> None:
            # A failed attempt is repeated.
            became.clear()
            for row in rows:
                kept = store.label(row, domain)
                became.append(LabelReceipt(row.boot, row.sequence, row.labelled_at, kept))
            for gone in withdrawn:
                store.withdraw(gone)
                became.append(LabelReceipt(gone.boot, gone.sequence, gone.at, kept=False))

        self.commits.submit(Write("labels", write, lambda: committed(became)))

    def skip(self, parts: int) -> None:
        """Go on so many parts later: an agent that was killed may have given these numbers out.

        For good: this one may be killed too, before a part of its own is on disk.
        """
        if parts:
            self.last_part += parts
            self.file.counter.keep(Numbers(part=self.last_part))

    def start(self) -> None:
        self._diversions.begin()
        self.commits.start()
        self.salvage.start()

    def flush(self, timeout_s: float) -> bool:
        return self.commits.flush(timeout_s)

    def close(self) -> None:
        self.salvage.stop()
        self.commits.stop()
        self.commits.remember()
        self.file.close()
        self._diversions.end()
        self._lock.release()

    def _id(self, sequence: int) -> int:
        return self._before + sequence

    def _given(self, inspection: Inspection) -> None:
        self.commits.given(Numbers(self._id(inspection.sequence), inspection.part))

    def _write_of(
        self,
        inspection: Inspection,
        write: Callable[[JournalStore, int, Inspection], None],
        committed: Callable[[], None] | None,
    ) -> Write:
        row_id = self._id(inspection.sequence)
        return Write(
            f"inspection {inspection.sequence} of part {inspection.part}",
            lambda store: write(store, row_id, inspection),
            committed,
        )

    def _submit(self, write: Write, *, part: bool = False) -> bool:
        """Whether there was room for it; counted where there was none."""
        taken = self.commits.submit(write, part=part)
        if not taken:
            self._health.count("journal_backlog_full")
        return taken

    def _read(self, error: Exception | None) -> None:
        """An OnError of the reader."""
        if error is None:
            self._health.well("journal reader")
        elif fault_of(error) == "damaged":
            self.commits.damaged(error)
        else:
            said = error if isinstance(error, JournalError) else self.file.explain(error)
            self._health.problem("journal reader", str(said))


def _opened(file: JournalFile, health: BoxHealth, diversions: Diversions) -> Numbers:
    """The numbers to go on after. Raises JournalError."""
    try:
        file.open()
    except JournalError as error:
        cause = error.__cause__
        if cause is None or fault_of(cause) == "unstorable" or file.last is None:
            raise
        # A line with a full disk is better off with boxes that divert and say why.
        health.problem("journal", str(error))
    # Before a new file has rows of its own: it would believe these.
    last = file.last or Numbers()
    if file.store is not None:
        if last.row and file.is_new and not file.unread:
            log.warning(
                "journal_was_gone",
                numbers_go_on_after=last.part,
                fix=f"delete {file.counter.name} too where they shall begin anew",
            )
        try:
            diversions.carry_into(file.store, last.row)
        except Exception as error:  # noqa: BLE001 - what one line is must not keep a box from its line
            health.problem("diversions", f"what was diverted can't be journaled: {said(error)}")
    return last | (file.last or Numbers())


def _keeping(row_id: int, picture: bytes) -> Callable[[JournalStore], None]:
    return lambda store: store.keep_picture(row_id, picture)
