"""Who has which part before them, so that two inspectors are not given the same one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import delete, or_, select
from sqlmodel import col

from cloud.labels.tables import ReviewLease
from cloud.records.database import Database
from cloud.records.keys import among, key_columns
from cloud.records.store import insert_into
from shared.clock import Clock
from shared.contracts import InspectionKey

LEASE_S = 600.0


class Leases:
    """Safe to share between threads, and between the cloud's processes: each asks the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def take(self, reasons: Mapping[InspectionKey, str], holder: str) -> Collection[InspectionKey]:
        """Have these parts, each for its reason, for LEASE_S from now on; those that are had: what
        somebody else has before them is not among them. Raises RecordsError."""
        if not reasons:
            return ()
        now, lease = self._clock.utc(), ReviewLease
        more = {"holder": holder, "until": now + LEASE_S}
        # One order for all who take, so that two never wait for each other.
        rows = [{**key._asdict(), **more, "reason": reasons[key]} for key in sorted(reasons)]
        with self._database.begin() as connection:
            connection.execute(delete(lease).where(col(lease.until) <= now))
            insertion = insert_into(connection)(lease).values(rows)
            taken = insertion.on_conflict_do_update(
                index_elements=list(InspectionKey._fields),
                set_={**more, "reason": insertion.excluded.reason},
                where=or_(col(lease.holder) == holder, col(lease.until) <= now),
            ).returning(*key_columns(lease))
            return {InspectionKey(*row) for row in connection.execute(taken)}

    def of(self, keys: Collection[InspectionKey]) -> dict[InspectionKey, tuple[str, str]]:
        """Of each of these that somebody has before them now: who, and why it was given to them.
        Raises RecordsError."""
        lease, columns = ReviewLease, key_columns(ReviewLease)
        query = select(*columns, col(lease.holder), col(lease.reason)).where(
            among(lease, keys), col(lease.until) > self._clock.utc()
        )
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return {InspectionKey(*row[:3]): (row[3], row[4]) for row in rows}
