"""Pictures that an inspector has labelled, kept longer than the others, in a quota of their own."""

from __future__ import annotations

import sqlite3

from shared.wire import PartLabel

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


class LabelStore:
    """The table of labelled pictures. Nothing here commits."""

    def __init__(self, connection: sqlite3.Connection, cap: int) -> None:
        self._connection = connection
        self.cap = cap
        self._bytes = 0
        self.count()

    @property
    def room(self) -> int:
        """Bytes that are not taken yet."""
        return max(0, self.cap - self._bytes)

    def put(self, row: PartLabel, domain: str) -> tuple[bool, int]:
        """Keep a label with its picture.

        Returns whether the picture is still there, and how many bytes left the ring with it.
        """
        key = (row.boot, row.sequence)
        defective = row.verdict == "reject"
        label = (defective, row.kind, domain, row.labelled_at)
        if self._connection.execute(
            "SELECT 1 FROM labelled WHERE boot = ? AND sequence = ?", key
        ).fetchone():
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

    def count(self) -> None:
        """Read how much there is, at the start and after a transaction that failed."""
        total = self._connection.execute("SELECT coalesce(sum(bytes), 0) FROM labelled").fetchone()
        self._bytes = total[0]
