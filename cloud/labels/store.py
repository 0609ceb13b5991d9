"""Reviews that wait for their device, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import RowMapping, func, or_, select, update
from sqlmodel import col

from cloud.labels.delivery import WaitingLabel
from cloud.records.database import Database
from cloud.records.queries import same_key
from cloud.records.tables import INSPECTIONS, ReviewRecord, TailRecord
from shared.contracts import InspectionKey
from shared.topics import Address
from shared.wire import LabelKeptRow, LabelRow


class StoredLabels:
    """The records of labels. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting_labels(self, devices: Sequence[str], limit: int) -> list[WaitingLabel]:
        """Labels for these devices that none has confirmed, oldest first. Raises RecordsError."""
        review = ReviewRecord
        site, line = (
            func.coalesce(INSPECTIONS.c[name], col(getattr(TailRecord, name))).label(name)
            for name in ("site", "line")
        )
        query = (
            select(
                site,
                line,
                col(review.device),
                col(review.boot),
                col(review.sequence),
                col(review.verdict),
                col(review.kind),
                col(review.reviewed_at),
            )
            .select_from(review)
            .outerjoin(INSPECTIONS, same_key(review))
            .outerjoin(TailRecord, same_key(review, TailRecord))
            .where(col(review.delivered_at).is_(None), col(review.device).in_(devices))
            .where(or_(INSPECTIONS.c.device.is_not(None), col(TailRecord.device).is_not(None)))
            .order_by(col(review.reviewed_at))
            .limit(limit)
        )
        with self._database.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [_label(row) for row in rows]

    def label_delivered(self, key: InspectionKey, row: LabelKeptRow, at: float) -> None:
        """What became of a label; nothing where a newer word was said meanwhile.

        Raises RecordsError.
        """
        review = ReviewRecord
        with self._database.begin() as connection:
            connection.execute(
                update(review)
                .where(
                    col(review.device) == key.device,
                    col(review.boot) == key.boot,
                    col(review.sequence) == key.sequence,
                    col(review.reviewed_at) == row.said_at,
                )
                .values(delivered_at=at, has_picture=row.kept)
            )


def _label(row: RowMapping) -> WaitingLabel:
    label = LabelRow(
        row["boot"], row["sequence"], row["verdict"], row["kind"] or "", row["reviewed_at"]
    )
    return WaitingLabel(Address(row["site"], row["line"], row["device"]), label)
