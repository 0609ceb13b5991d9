"""What people want to see of boxes that are away: wishes, never pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import delete, select, tuple_
from sqlmodel import col

from cloud.records.database import Database
from cloud.records.keys import Condition, among, has_key, key_columns
from cloud.records.store import insert_into
from cloud.records.tables import DeviceRecord, PictureRequestRecord
from shared.contracts import InspectionKey
from shared.inspection import storable_text
from shared.topics import Address

FORGOTTEN_S = 7 * 86_400.0
LONGEST_REASON = 200


class WantedPicture(NamedTuple):
    """Somebody waits for a box."""

    what: str
    reason: str
    asked_at: float


class BoxState(NamedTuple):
    """A box as the cloud last heard of it; see `cloud.records.tables.DeviceRecord`."""

    online: bool
    seen_at: float
    boot: str
    runtime: str


class PictureRequests:
    """Safe to share between threads and between workers. Every method raises RecordsError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, key: InspectionKey, who: str, wanted: WantedPicture) -> None:
        """Until they have seen it, or for FORGOTTEN_S. Again replaces what was."""
        row = {
            **key._asdict(),
            "who": storable_text(who, 100),
            "what": wanted.what,
            "reason": storable_text(wanted.reason, LONGEST_REASON),
            "asked_at": wanted.asked_at,
        }
        table = PictureRequestRecord
        with self._database.begin() as connection:
            kept = insert_into(connection)(table).values(row)
            names = [*InspectionKey._fields, "who"]
            connection.execute(kept.on_conflict_do_update(index_elements=names, set_=row))
            old = col(table.asked_at) < wanted.asked_at - FORGOTTEN_S
            connection.execute(delete(table).where(old))

    def waiting(
        self, keys: Iterable[InspectionKey], who: str
    ) -> dict[InspectionKey, WantedPicture]:
        """What this person waits for, of each of these for which they wait."""
        table = PictureRequestRecord
        wanted = [col(getattr(table, name)) for name in WantedPicture._fields]
        mine = col(table.who) == storable_text(who, 100)
        query = select(*key_columns(table), *wanted).where(among(table, keys), mine)
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return {InspectionKey(*row[:3]): WantedPicture(*row[3:]) for row in rows}

    def drop(self, key: InspectionKey, who: str) -> None:
        """They have seen it."""
        table = PictureRequestRecord
        mine = col(table.who) == storable_text(who, 100)
        with self._database.begin() as connection:
            connection.execute(delete(table).where(*_named(key), mine))

    def box(self, address: Address) -> BoxState | None:
        """How a box is; None where it was never heard of."""
        return self.boxes([address]).get(address)

    def boxes(self, addresses: Iterable[Address]) -> dict[Address, BoxState]:
        """The same of each of these that was heard of."""
        table = DeviceRecord
        place = [col(getattr(table, name)) for name in ("site", "line", "device")]
        columns = [
            col(table.state) == "online",
            *(col(getattr(table, name)) for name in BoxState._fields[1:]),
        ]
        wanted = sorted({(one.site, one.line, one.device) for one in addresses})
        query = select(*place, *columns).where(tuple_(*place).in_(wanted))
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return {Address(*row[:3]): BoxState(bool(row[3]), *row[4:]) for row in rows}


def _named(key: InspectionKey) -> list[Condition]:
    return has_key(PictureRequestRecord, key)
