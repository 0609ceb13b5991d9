"""Labels that wait for their device, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, case, false, func, or_, select, update
from sqlmodel import col

from cloud.labels.delivery import WaitingLabel
from cloud.labels.tables import WithdrawnLabel
from cloud.records.database import Database
from cloud.records.keys import has_key, same_key
from cloud.records.tables import INSPECTIONS, LabelRecord, TailRecord
from shared.contracts import InspectionKey
from shared.topics import Address
from shared.wire import LabelReceipt, PartLabel, Withdrawal

_ANY_WAITS, _ANY_WITHDRAWN = (
    select(col(table.device)).where(col(table.delivered_at).is_(None)).limit(1)
    for table in (LabelRecord, WithdrawnLabel)
)


class StoredLabels:
    """The records of labels. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting_labels(self, devices: Sequence[str], limit: int) -> list[WaitingLabel]:
        """Labels for these devices that none has confirmed, oldest first.

        limit   of each device, so that one that confirms nothing holds up nobody else's
        Raises RecordsError.
        """
        with self._database.begin() as connection:
            # Most of the time none waits, and a thousand names make a long question.
            found: list[WaitingLabel] = []
            if connection.execute(_ANY_WITHDRAWN).first() is not None:
                rows = connection.execute(_withdrawn(devices, limit)).mappings()
                found += [_withdrawal(row) for row in rows]
            if connection.execute(_ANY_WAITS).first() is not None:
                rows = connection.execute(_waiting(devices, limit)).mappings()
                found += [_label(row) for row in rows]
        return found

    def label_delivered(self, key: InspectionKey, row: LabelReceipt, at: float) -> None:
        """What became of a label; nothing where there is a newer one meanwhile.

        Raises RecordsError.
        """
        label, withdrawn = LabelRecord, WithdrawnLabel
        with self._database.begin() as connection:
            connection.execute(
                update(label)
                .where(*has_key(label, key), col(label.reviewed_at) == row.labelled_at)
                .values(delivered_at=at, has_picture=row.kept)
            )
            # A label that was on its way when it was taken back, and came after that: once more.
            later = col(withdrawn.withdrawn_at) > row.labelled_at
            again = case((col(withdrawn.withdrawn_at) == row.labelled_at, at), else_=None)
            connection.execute(
                update(withdrawn)
                .where(
                    *has_key(withdrawn, key),
                    or_(
                        col(withdrawn.withdrawn_at) == row.labelled_at,
                        later if row.kept else false(),
                    ),
                )
                .values(delivered_at=again)
            )


def _waiting(devices: Sequence[str], limit: int) -> Select[Any]:
    label = LabelRecord
    site, line = (
        func.coalesce(INSPECTIONS.c[name], col(getattr(TailRecord, name))).label(name)
        for name in ("site", "line")
    )
    query = (
        select(site, line, label)
        .select_from(label)
        .outerjoin(INSPECTIONS, same_key(label))
        .outerjoin(TailRecord, same_key(label, TailRecord))
        .where(col(label.delivered_at).is_(None), col(label.device).in_(devices))
        .where(or_(INSPECTIONS.c.device.is_not(None), col(TailRecord.device).is_not(None)))
    )
    return _first_of_each(query, col(label.device), col(label.reviewed_at), limit)


def _withdrawn(devices: Sequence[str], limit: int) -> Select[Any]:
    row = WithdrawnLabel
    query = select(row).where(col(row.delivered_at).is_(None), col(row.device).in_(devices))
    return _first_of_each(query, col(row.device), col(row.withdrawn_at), limit)


def _first_of_each(
    query: Select[*tuple[Any, ...]], device: Any, at: Any, limit: int
) -> Select[Any]:
    """So many of each device, the oldest first: one with many holds back no other."""
    place = func.row_number().over(partition_by=device, order_by=at).label("place")
    found = query.add_columns(place).subquery()
    return select(found).where(found.c.place <= limit).order_by(found.c[at.key])


def _withdrawal(row: RowMapping) -> WaitingLabel:
    taken_back = Withdrawal(row["boot"], row["sequence"], row["withdrawn_at"])
    return WaitingLabel(Address(row["site"], row["line"], row["device"]), taken_back)


def _label(row: RowMapping) -> WaitingLabel:
    label = PartLabel(
        row["boot"],
        row["sequence"],
        row["verdict"],
        row["kind"] or "",
        row["reviewed_at"],
        row["drawing"] or b"",
    )
    return WaitingLabel(Address(row["site"], row["line"], row["device"]), label)
