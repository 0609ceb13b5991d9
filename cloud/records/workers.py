"""Which workers of the cloud are there and what each serves, as they say in their database."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, literal_column, select
from sqlmodel import col

from cloud.records.database import Database
from cloud.records.store import insert_into
from cloud.records.tables import SharedGroupRecord, WorkerRecord
from shared.inspection import storable_text

# Workers on several machines have several clocks; their database has one.
NOW: dict[str, ColumnElement[float]] = {
    "postgresql": literal_column("extract(epoch from clock_timestamp())"),
    "sqlite": literal_column("(julianday('now') - 2440587.5) * 86400.0"),
}
FORGOTTEN_S = 3600.0


class WorkerEntry(NamedTuple):
    """What a worker last said.

    worker     its id, which is its name at the broker
    name       for people: machine and process
    connected  whether it hears the broker, and so takes its share of what devices send
    pairs      whose escalations it can answer
    """

    worker: str
    name: str
    connected: bool
    pairs: frozenset[str]


class WorkerStore:
    """Safe to share between threads. Every method raises RecordsError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def group(self) -> str:
        """The name of the shared subscriptions of all workers of this cloud: random, and the same
        for all who share its database, so that no device can join."""
        with self._database.begin() as connection:
            known = select(col(SharedGroupRecord.name))
            # Mostly it is there, and who only reads waits for nobody who writes.
            name = connection.execute(known).scalar_one_or_none()
            if name is None:
                insert = insert_into(connection)(SharedGroupRecord)
                row = {"id": 1, "name": secrets.token_hex(16)}
                connection.execute(insert.values(row).on_conflict_do_nothing())
                name = connection.execute(known).scalar_one()
        return str(name)

    def announce(self, worker: str, name: str, pairs: Collection[str], *, connected: bool) -> None:
        """Say what a worker serves now."""
        with self._database.begin() as connection:
            row: dict[str, Any] = {
                "worker": worker,
                "name": storable_text(name, 255),
                "connected": connected,
                "pairs": " ".join(sorted(pairs)),
                "seen_at": NOW[connection.dialect.name],
            }
            insert = insert_into(connection)(WorkerRecord).values(row)
            connection.execute(insert.on_conflict_do_update(index_elements=["worker"], set_=row))
            long_gone = col(WorkerRecord.seen_at) < row["seen_at"] - FORGOTTEN_S
            connection.execute(delete(WorkerRecord).where(long_gone))

    def live(self, within_s: float) -> list[WorkerEntry]:
        """Those that have said so within these seconds, by name."""
        table = WorkerRecord
        with self._database.begin() as connection:
            now = NOW[connection.dialect.name]
            columns = [col(getattr(table, name)) for name in WorkerEntry._fields]
            query = select(*columns).where(col(table.seen_at) > now - within_s)
            rows = connection.execute(query.order_by(col(table.name), col(table.worker))).all()
        return [
            WorkerEntry(worker, name, bool(connected), frozenset(pairs.split()))
            for worker, name, connected, pairs in rows
        ]

    def leave(self, worker: str) -> None:
        """This one ends."""
        with self._database.begin() as connection:
            connection.execute(delete(WorkerRecord).where(col(WorkerRecord.worker) == worker))
