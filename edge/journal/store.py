"""Every statement that writes to the journal's file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from edge.journal.label_store import LabelStore
from edge.journal.part_counter import Numbers
from edge.journal.quota import Quota, size_of, wal_of
from edge.journal.reserve import DiskReserve
from edge.journal.salvage import ROW, Cells, carrying, last_of
from edge.journal.schema import COLUMNS, PLACES, WAL_BYTES, connect, transaction, values
from shared.contracts import FAIL_SAFE, Control, Verdict, plain_verdict
from shared.inspection import Inspection, WayTimes
from shared.wire import PartLabel, Withdrawal

# Measured: a row with its index and a source of 20 characters takes about 250 B.
ROW_BYTES = 400
BOUND_EVERY = 256
BRING_IN_EVERY = 32
PAGE_BYTES = 4096
LEAST_PAGES, USUAL_PAGES = 16, 1000
# Above it no more pictures are kept: the verdicts alone take a fiftieth of the room.
MOST_WAL_BYTES = 4 * WAL_BYTES

_INSERT = f"INSERT INTO inspections (id, {COLUMNS}) VALUES (?, {PLACES})"  # noqa: S608
# A deadline that passes during inference may be written first: what it decided stays.
_RECORD = (
    _INSERT + " ON CONFLICT (id) DO UPDATE SET decision = excluded.decision, "
    "score = excluded.score, edge_ms = excluded.edge_ms, frame_bytes = excluded.frame_bytes, "
    "fields = excluded.fields, digest = excluded.digest, head_ms = excluded.head_ms"
)
_FAIL_SAFE = (
    _INSERT + " ON CONFLICT (id) DO UPDATE SET "
    "late_verdict = CASE WHEN decided_by <> 'cloud' OR decided_by IS NULL THEN late_verdict "
    "WHEN control <> '' THEN control WHEN review THEN 'review' ELSE verdict END, "
    "late_score = CASE WHEN decided_by = 'cloud' THEN cloud_score ELSE late_score END, "
    "verdict = excluded.verdict, review = 0, decided_by = excluded.decided_by, "
    "total_ms = excluded.total_ms, escalated_bytes = excluded.escalated_bytes, "
    "control = excluded.control, sent_ms = excluded.sent_ms"
)
_EVICT = "DELETE FROM inspections WHERE id IN (SELECT id FROM inspections WHERE "
_EVICT_SENT = _EVICT + "acknowledged = 1 ORDER BY id LIMIT ?)"
_EVICT_OLD = "DELETE FROM inspections WHERE id <= ? AND acknowledged = 0 AND total_ms IS NOT NULL"
_EVICT_UNSENT = _EVICT + "total_ms IS NOT NULL ORDER BY id LIMIT ?)"


_CARRY = carrying("inspections", ROW)

EvictionReason = Literal["max_bytes", "disk", "age"]


class JournalStore:
    """One connection that writes. Used by one thread at a time; nothing here commits alone."""

    def __init__(self, path: Path, quota: Quota) -> None:
        """Raises what `connect` raises."""
        self.path = path
        self._quota = quota
        self._reserve = DiskReserve(path, quota)
        self.caps = quota.caps(path)
        self.connection = connect(path)
        self._inode = _inode(path)
        self._commits = 0
        self._ring_bytes = 0
        self._evicted: Counter[EvictionReason] = Counter()
        self.wal_bytes = 0
        self._labels = LabelStore(self.connection, self.caps.labels)
        self._count_ring()
        self._bring_in_in_time()
        self._reserve.keep()

    @property
    def gone(self) -> bool:
        """Whether the name does not lead to this file any more: what is written would be lost."""
        return _inode(self.path) != self._inode

    def commit(
        self, work: Iterable[Callable[[JournalStore], None]]
    ) -> Mapping[EvictionReason, int]:
        """Do it all, or nothing of it. Raises sqlite3.Error, and what a write raises.

        Returns how many unsent inspections had to go to keep within the bounds, by reason.
        """
        self._evicted = Counter()
        try:
            with transaction(self.connection):
                for write in work:
                    write(self)
                self._commits += 1
                if self._commits % BOUND_EVERY == 0:
                    self._bound()
        except BaseException:
            self._recount()
            raise
        self._bound_wal()
        return self._evicted

    def record(self, row_id: int, inspection: Inspection) -> None:
        self.connection.execute(_RECORD, (row_id, *values(inspection)))

    def fail_safe(self, row_id: int, inspection: Inspection) -> None:
        """The deadline decided, whatever was recorded before."""
        self.connection.execute(_FAIL_SAFE, (row_id, *values(inspection)))

    def answer(self, row_id: int, verdict: Verdict, score: float, control: Control) -> None:
        """The cloud's answer: the verdict of a part that is open, else a late correction.

        control   the answer, where the part was drawn as a control and `verdict` is a review
        """
        review = verdict == "review"
        changed = self.connection.execute(
            "UPDATE inspections SET verdict = ?, review = ?, decided_by = 'cloud', "
            "cloud_score = ?, control = ? WHERE id = ? AND total_ms IS NULL AND verdict IS NULL",
            (plain_verdict(verdict), review, score, control, row_id),
        )
        if not changed.rowcount:
            self.connection.execute(
                "UPDATE inspections SET late_verdict = ?, late_score = ? "
                "WHERE id = ? AND decided_by = 'deadline'",
                (control or verdict, score, row_id),
            )

    def settle(self, row_id: int, total_ms: float, escalated_bytes: int, way: WayTimes) -> None:
        """The verdict was handed to the actuator."""
        self.connection.execute(
            "UPDATE inspections SET total_ms = ?, escalated_bytes = ?, sent_ms = ?, "
            "answered_ms = ? WHERE id = ? AND total_ms IS NULL",
            (total_ms, escalated_bytes, *way, row_id),
        )

    def acknowledge(self, row_ids: Sequence[int]) -> None:
        self.connection.executemany(
            "UPDATE inspections SET acknowledged = 1 WHERE id = ?", [(i,) for i in row_ids]
        )

    def keep_picture(self, row_id: int, picture: bytes) -> None:
        """Into the ring; the oldest leave it until the new one fits."""
        if len(picture) > self.caps.ring:
            return
        self._evict_pictures(self.caps.ring - len(picture))
        self.connection.execute(
            "INSERT OR REPLACE INTO frames VALUES (?, ?, ?)", (row_id, len(picture), picture)
        )
        self._ring_bytes += len(picture)

    def label(self, row: PartLabel, domain: str) -> bool:
        """Keep a label with its picture; False where there is no picture any more."""
        kept, left_ring = self._labels.put(row, domain)
        self._ring_bytes -= left_ring
        return kept

    def withdraw(self, row: Withdrawal) -> None:
        """Forget a label; its picture is in the ring again."""
        self._ring_bytes += self._labels.withdraw(row)
        self._evict_pictures(self.caps.ring)

    def carry(self, rows: Iterable[Cells]) -> None:
        """Inspections from another journal, under the ids that they had there."""
        self.connection.executemany(_CARRY, rows)

    def carry_labelled(self, rows: Iterable[Cells]) -> None:
        """Labelled pictures from another journal, as far as there is room for them."""
        for cells in rows:
            self._labels.carry(cells)

    def carry_masks(self, rows: Iterable[Cells]) -> None:
        """What was drawn with these labels, and which were taken back, from another journal."""
        self._ring_bytes += sum(map(self._labels.carry_mask, rows))
        self._evict_pictures(self.caps.ring)

    def carry_diverted(self, found: Iterable[Inspection], after: int) -> None:
        """What the deadline decided in an agent that was killed: it goes before whatever a row
        says, and has one where there is none.

        after   the highest id of a row
        """
        for one in found:
            row = self.connection.execute(
                "SELECT id FROM inspections WHERE boot = ? AND sequence = ?",
                (one.boot, one.sequence),
            ).fetchone()
            after = after if row else after + 1
            self.fail_safe(row[0] if row else after, one)

    def relieve(self) -> None:
        """The disk is full: bring in what waits beside the file, whose place can then be taken
        again, and halve the ring, so that verdicts find room."""
        self._reserve.give_back()
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        try:
            with transaction(self.connection):
                self._evict_pictures(self._ring_bytes // 2)
        finally:
            self._recount()

    def recover(self) -> int:
        """Decide what a crash left open, and return how many escalations that were."""
        settle = "UPDATE inspections SET total_ms = edge_ms WHERE total_ms IS NULL"
        with transaction(self.connection):
            pending = self.connection.execute(
                "UPDATE inspections SET verdict = ?, decided_by = 'deadline' WHERE verdict IS NULL",
                (FAIL_SAFE,),
            ).rowcount
            self.connection.execute(settle)
        return pending

    def last(self) -> Numbers:
        """The newest row's id and the highest part, 0 where there is none."""
        return last_of(self.connection)

    def close(self) -> None:
        self.connection.close()

    def _evict_pictures(self, down_to: int) -> None:
        while self._ring_bytes > down_to:
            gone = self.connection.execute(
                "DELETE FROM frames WHERE id = (SELECT min(id) FROM frames) RETURNING bytes"
            ).fetchone()
            if gone is None:
                return
            self._ring_bytes -= gone[0]

    def _count_ring(self) -> None:
        total = self.connection.execute("SELECT coalesce(sum(bytes), 0) FROM frames").fetchone()
        self._ring_bytes = total[0]

    def _fields_bytes(self) -> int:
        """What a plug-in's fields take of a row, by the newest ones."""
        found = self.connection.execute(
            "SELECT avg(length(fields)) FROM "
            "(SELECT fields FROM inspections ORDER BY id DESC LIMIT ?)",
            (BOUND_EVERY,),
        ).fetchone()
        return int(found[0] or 0)

    def _bound(self) -> None:
        """Keep within what the disk has room for now."""
        size = ROW_BYTES + self._fields_bytes()
        oldest, newest = self.connection.execute(
            "SELECT min(id), max(id) FROM inspections"
        ).fetchone()
        most_rows = newest - oldest + 1 if oldest is not None else 0
        # Carried over ones have ids far below the others': what lies between them takes no room.
        self.caps = self._quota.caps(self.path, min(most_rows * size, self.caps.rows))
        self._labels.cap = self.caps.labels
        self._bring_in_in_time()
        self._reserve.keep()
        self._evict_pictures(self.caps.ring)
        if too_old := self._quota.too_old(newest or 0):
            self._evicted["age"] += self.connection.execute(_EVICT_OLD, (too_old,)).rowcount
        most = self.caps.rows // size
        if most_rows > most:
            self._bound_rows(most)

    def _bound_rows(self, most: int) -> None:
        count = self.connection.execute("SELECT count(*) FROM inspections").fetchone()[0]
        # A sixteenth more than necessary, so that it need not be done each time.
        excess = count - most + most // 16 if count > most else 0
        excess -= self.connection.execute(_EVICT_SENT, (excess,)).rowcount
        if excess:
            small = self.caps.rows < self._quota.configured.rows
            unsent = self.connection.execute(_EVICT_UNSENT, (excess,)).rowcount
            self._evicted["disk" if small else "max_bytes"] += unsent

    def _bring_in_in_time(self) -> None:
        """What waits beside the file must not take the room that the file needs to grow."""
        free = self._quota.free(self.path)
        pages = USUAL_PAGES if free is None else free // 8 // PAGE_BYTES
        pages = max(LEAST_PAGES, min(pages, USUAL_PAGES))
        self.connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")

    def _bound_wal(self) -> None:
        """A reader that stays holds back what waits beside the file, and it grows for so long."""
        self.wal_bytes = size_of(wal_of(self.path))
        # It waits a moment for who reads, so not each time.
        if self.wal_bytes > 2 * WAL_BYTES and self._commits % BRING_IN_EVERY == 0:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.wal_bytes = size_of(wal_of(self.path))

    def _recount(self) -> None:
        # Only after a failure, and what has failed may fail here too.
        try:
            self._count_ring()
            self._labels.count()
        except sqlite3.Error:
            return


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
