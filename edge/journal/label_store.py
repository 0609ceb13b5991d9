"""Pictures that an inspector has labelled, kept longer than the others, in a quota of their own."""

from __future__ import annotations

import sqlite3

from edge.journal.salvage import LABELLED, Cells, carrying
from shared.wire import PartLabel, Withdrawal

_LABELLED = "SELECT said_at FROM labelled WHERE boot = ? AND sequence = ?"
_UPDATE = (
    "UPDATE labelled SET defective = ?, kind = ?, domain = ?, said_at = ? "
    "WHERE boot = ? AND sequence = ? AND said_at <= ?"
)
_FRAME = (
    "SELECT frames.id, part, bytes FROM inspections JOIN frames USING (id) "
    "WHERE boot = ? AND sequence = ?"
)
_MOVE = (
    "INSERT OR REPLACE INTO labelled "
    "SELECT id, ?, ?, ?, ?, ?, ?, ?, bytes, picture FROM frames WHERE id = ?"
)
# Of the kind that there is more of: defects are rare, and a flood of good parts must not drown
# them.
_EVICT = (
    "DELETE FROM labelled WHERE id = (SELECT id FROM labelled WHERE defective = "
    "(SELECT defective FROM labelled GROUP BY defective ORDER BY count(*) DESC LIMIT 1) "
    "ORDER BY said_at, id LIMIT 1) RETURNING bytes"
)
_SAID = "INSERT OR REPLACE INTO label_masks (boot, sequence, said_at, mask) VALUES (?, ?, ?, ?)"
_WITHDRAWN_AT = "SELECT said_at FROM label_masks WHERE boot = ? AND sequence = ? AND mask IS NULL"
_BACK = (
    "INSERT OR REPLACE INTO frames SELECT id, bytes, picture FROM labelled "
    "WHERE boot = ? AND sequence = ? AND said_at <= ?"
)
_GONE = "DELETE FROM labelled WHERE boot = ? AND sequence = ? AND said_at <= ? RETURNING bytes"
# Masks of pictures that have left, and the oldest of what was taken back.
_MASKS_GONE = (
    "DELETE FROM label_masks WHERE mask IS NOT NULL AND NOT EXISTS (SELECT 1 FROM labelled "
    "WHERE labelled.boot = label_masks.boot AND labelled.sequence = label_masks.sequence)"
)
_OLD_WITHDRAWN = (
    "DELETE FROM label_masks WHERE mask IS NULL AND id NOT IN "
    "(SELECT id FROM label_masks WHERE mask IS NULL ORDER BY said_at DESC LIMIT 1000)"
)
_CARRY = carrying("labelled", LABELLED)
_MASK_AT = "SELECT said_at FROM label_masks WHERE boot = ? AND sequence = ?"
TIDY_EVERY = 64


class LabelStore:
    """The tables of labelled pictures. Nothing here commits."""

    def __init__(self, connection: sqlite3.Connection, cap: int) -> None:
        self._connection = connection
        self.cap = cap
        self._bytes = 0
        self._words = 0
        self.count()

    @property
    def room(self) -> int:
        """Bytes that are not taken yet."""
        return max(0, self.cap - self._bytes)

    def put(self, row: PartLabel, domain: str) -> tuple[bool, int]:
        """Keep a label with its picture.

        Returns whether the picture is still there, and how many bytes left the ring with it.
        """
        if self._withdrawn_since(row.boot, row.sequence, row.labelled_at):
            return False, 0
        kept, left_ring = self._put(row, domain)
        if kept:
            self._keep_mask(row)
        self._tidy()
        return kept, left_ring

    def withdraw(self, row: Withdrawal) -> int:
        """Forget a label: its picture is one of many again, and has its old place in the ring.

        Returns how many bytes came to the ring.
        """
        key = (row.boot, row.sequence, row.at)
        self._connection.execute(_BACK, key)
        back: int = sum(size for (size,) in self._connection.execute(_GONE, key).fetchall())
        self._bytes -= back
        if not self._connection.execute(_LABELLED, key[:2]).fetchone():
            self._connection.execute(_SAID, (*key, None))
        self._tidy()
        return back

    def carry(self, cells: Cells) -> None:
        """A labelled picture from another journal, LABELLED; not where its label was taken back
        since, or there is no room."""
        boot, sequence, said_at = cells[1], cells[2], cells[7]
        if self.room >= len(cells[-1]) and not self._withdrawn_since(boot, sequence, said_at):
            self._connection.execute(_CARRY, cells)
            self.count()

    def carry_mask(self, cells: Cells) -> int:
        """What was drawn with a label that is here, or that one was taken back, from another
        journal, MASKS: a newer word stands. Returns how many bytes came to the ring."""
        _, boot, sequence, said_at, mask = cells
        known = self._connection.execute(_MASK_AT, (boot, sequence)).fetchone()
        if known is not None and known[0] >= said_at:
            return 0
        if mask is None:
            return self.withdraw(Withdrawal(boot, sequence, said_at))
        label = self._connection.execute(_LABELLED, (boot, sequence)).fetchone()
        if label is not None and label[0] == said_at:
            self._connection.execute(_SAID, (boot, sequence, said_at, mask))
        return 0

    def count(self) -> None:
        """Read how much there is, at the start and after a transaction that failed."""
        total = self._connection.execute("SELECT coalesce(sum(bytes), 0) FROM labelled").fetchone()
        self._bytes = total[0]

    def _put(self, row: PartLabel, domain: str) -> tuple[bool, int]:
        key = (row.boot, row.sequence)
        defective = row.verdict == "reject"
        label = (defective, row.kind, domain, row.labelled_at)
        if self._connection.execute(_LABELLED, key).fetchone():
            # An older word that comes late changes nothing.
            self._connection.execute(_UPDATE, (*label, *key, row.labelled_at))
            return True, 0
        found = self._connection.execute(_FRAME, key).fetchone()
        if found is None or found[2] > self.cap:
            return False, 0
        id_, part, size = found
        self._connection.execute(_MOVE, (*key, part, *label, id_))
        self._connection.execute("DELETE FROM frames WHERE id = ?", (id_,))
        self._bytes += size
        while self._bytes > self.cap:
            self._bytes -= self._connection.execute(_EVICT).fetchone()[0]
        return True, size

    def _withdrawn_since(self, boot: str, sequence: int, said_at: float) -> bool:
        found = self._connection.execute(_WITHDRAWN_AT, (boot, sequence)).fetchone()
        return found is not None and found[0] > said_at

    def _keep_mask(self, row: PartLabel) -> None:
        """Of the label that is kept, and of no older one."""
        key = (row.boot, row.sequence)
        newest = self._connection.execute(_LABELLED, key).fetchone()
        if newest is None or newest[0] != row.labelled_at:
            return
        self._connection.execute("DELETE FROM label_masks WHERE boot = ? AND sequence = ?", key)
        if row.mask:
            self._connection.execute(_SAID, (*key, row.labelled_at, row.mask))

    def _tidy(self) -> None:
        self._words += 1
        if self._words % TIDY_EVERY == 0:
            for statement in (_MASKS_GONE, _OLD_WITHDRAWN):
                self._connection.execute(statement)
