"""Every statement that writes to the journal's file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.journal.label_store import LabelStore
from edge.journal.schema import COLUMNS, PLACES, connect, transaction, values
from shared.contracts import FAIL_SAFE, Control, Verdict, plain_verdict
from shared.inspection import Inspection
from shared.wire import PartLabel

# Measured: a row with its index and a source of 20 characters takes about 250 B.
ROW_BYTES = 400
BOUND_EVERY = 256

_INSERT = f"INSERT INTO inspections (id, {COLUMNS}) VALUES (?, {PLACES})"  # noqa: S608
# A deadline that passes during inference may be written first: what it decided stays.
_RECORD = (
    _INSERT + " ON CONFLICT (id) DO UPDATE SET decision = excluded.decision, "
    "score = excluded.score, edge_ms = excluded.edge_ms, frame_bytes = excluded.frame_bytes, "
    "fields = excluded.fields"
)
_FAIL_SAFE = (
    _INSERT + " ON CONFLICT (id) DO UPDATE SET "
    "late_verdict = CASE WHEN decided_by <> 'cloud' OR decided_by IS NULL THEN late_verdict "
    "WHEN control <> '' THEN control WHEN review THEN 'review' ELSE verdict END, "
    "late_score = CASE WHEN decided_by = 'cloud' THEN cloud_score ELSE late_score END, "
    "verdict = excluded.verdict, review = 0, decided_by = excluded.decided_by, "
    "total_ms = excluded.total_ms, escalated_bytes = excluded.escalated_bytes, "
    "control = excluded.control"
)
_EVICT = "DELETE FROM inspections WHERE id IN (SELECT id FROM inspections WHERE "
_EVICT_SENT = _EVICT + "acknowledged = 1 ORDER BY id LIMIT ?)"
_EVICT_UNSENT = _EVICT + "total_ms IS NOT NULL ORDER BY id LIMIT ?)"


@dataclass(frozen=True, slots=True)
class Caps:
    """How many bytes inspections, pictures and labelled pictures may take."""

    rows: int
    ring: int
    labels: int = 0

    @classmethod
    def of(cls, rows: int, ring: int, path: Path, *, labels: int = 0) -> Caps:
        """What is configured, or half of what is free where that is less."""
        used = path.stat().st_size if path.exists() else 0
        room = (shutil.disk_usage(path.parent).free + used) // 2
        share = min(1.0, room / (rows + ring + labels))
        return cls(int(rows * share), int(ring * share), int(labels * share))


class JournalStore:
    """One connection that writes. Used by one thread at a time; nothing here commits alone."""

    def __init__(self, path: Path, caps: Caps) -> None:
        self.path = path
        self._caps = caps
        self.connection = connect(path)
        self._commits = 0
        self._ring_bytes = 0
        self._evicted_unsent = 0
        self._labels = LabelStore(self.connection, caps.labels)
        self._count_ring()

    def commit(self, work: Iterable[Callable[[JournalStore], None]]) -> int:
        """Do it all, or nothing of it. Raises sqlite3.Error.

        Returns how many unsent inspections had to go to keep within the bounds.
        """
        self._evicted_unsent = 0
        try:
            with transaction(self.connection):
                for write in work:
                    write(self)
                self._commits += 1
                if self._commits % BOUND_EVERY == 0:
                    self._bound_rows()
        except BaseException:
            self._count_ring()
            self._labels.count()
            raise
        return self._evicted_unsent

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

    def settle(self, row_id: int, total_ms: float, escalated_bytes: int) -> None:
        """The verdict was handed to the actuator."""
        self.connection.execute(
            "UPDATE inspections SET total_ms = ?, escalated_bytes = ? "
            "WHERE id = ? AND total_ms IS NULL",
            (total_ms, escalated_bytes, row_id),
        )

    def acknowledge(self, row_ids: Sequence[int]) -> None:
        self.connection.executemany(
            "UPDATE inspections SET acknowledged = 1 WHERE id = ?", [(i,) for i in row_ids]
        )

    def keep_picture(self, row_id: int, picture: bytes) -> None:
        """Into the ring; the oldest leave it until the new one fits."""
        if len(picture) > self._caps.ring:
            return
        self._evict_pictures(self._caps.ring - len(picture))
        self.connection.execute(
            "INSERT OR REPLACE INTO frames VALUES (?, ?, ?)", (row_id, len(picture), picture)
        )
        self._ring_bytes += len(picture)

    def label(self, row: PartLabel, domain: str) -> bool:
        """Keep a label with its picture; False where there is no picture any more."""
        kept, left_ring = self._labels.put(row, domain)
        self._ring_bytes -= left_ring
        return kept

    def relieve(self) -> None:
        """The disk is full: halve the ring, so that verdicts find room."""
        try:
            with transaction(self.connection):
                self._evict_pictures(self._ring_bytes // 2)
        finally:
            self._count_ring()

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

    def last(self) -> tuple[int, int]:
        """The newest row's id and the highest part, 0 where there is none."""
        row = self.connection.execute("SELECT max(id), max(part) FROM inspections").fetchone()
        return row[0] or 0, row[1] or 0

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

    def _bound_rows(self) -> None:
        oldest, newest = self.connection.execute(
            "SELECT min(id), max(id) FROM inspections"
        ).fetchone()
        most = self._caps.rows // (ROW_BYTES + self._fields_bytes())
        if oldest is None or newest - oldest < most:
            return
        count = self.connection.execute("SELECT count(*) FROM inspections").fetchone()[0]
        # A sixteenth more than necessary, so that it need not be done each time.
        excess = count - most + most // 16 if count > most else 0
        excess -= self.connection.execute(_EVICT_SENT, (excess,)).rowcount
        if excess:
            self._evicted_unsent += self.connection.execute(_EVICT_UNSENT, (excess,)).rowcount
