"""Labels that wait for their device, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, func, or_, select, update
from sqlmodel import col

from cloud.labels.delivery import WaitingLabel
from cloud.records.database import Database
from cloud.records.queries import has_key, same_key
from cloud.records.tables import INSPECTIONS, LabelRecord, TailRecord
from shared.contracts import InspectionKey
from shared.topics import Address
from shared.wire import LabelReceipt, PartLabel

_ANY_WAITS = select(col(LabelRecord.device)).where(col(LabelRecord.delivered_at).is_(None)).limit(1)


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
            if connection.execute(_ANY_WAITS).first() is None:
                return []
            rows = connection.execute(_waiting(devices, limit)).mappings().all()
        return [_label(row) for row in rows]

    def label_delivered(self, key: InspectionKey, row: LabelReceipt, at: float) -> None:
        """What became of a label; nothing where there is a newer one meanwhile.

        Raises RecordsError.
        """
        label = LabelRecord
        with self._database.begin() as connection:
            connection.execute(
                update(label)
                .where(*has_key(label, key), col(label.reviewed_at) == row.labelled_at)
                .values(delivered_at=at, has_picture=row.kept)
            )


def _waiting(devices: Sequence[str], limit: int) -> Select[Any]:
    label = LabelRecord
    site, line = (
        func.coalesce(INSPECTIONS.c[name], col(getattr(TailRecord, name))).label(name)
        for name in ("site", "line")
    )
    place = (
        func.row_number()
        .over(partition_by=col(label.device), order_by=col(label.reviewed_at))
        .label("place")
    )
    query = (
        select(site, line, label, place)
        .select_from(label)
        .outerjoin(INSPECTIONS, same_key(label))
        .outerjoin(TailRecord, same_key(label, TailRecord))
        .where(col(label.delivered_at).is_(None), col(label.device).in_(devices))
        .where(or_(INSPECTIONS.c.device.is_not(None), col(TailRecord.device).is_not(None)))
    )
    found = query.subquery()
    return select(found).where(found.c.place <= limit).order_by(found.c.reviewed_at)


def _label(row: RowMapping) -> WaitingLabel:
    label = PartLabel(
        row["boot"], row["sequence"], row["verdict"], row["kind"] or "", row["reviewed_at"]
    )
    return WaitingLabel(Address(row["site"], row["line"], row["device"]), label)
