"""Notices that wait, in the records' database: each goes out at least once, or is given up."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import delete, func, select, update

from cloud.alerts.notice import Notice
from cloud.alerts.tables import ALERT_NOTICES
from cloud.records.database import Database
from shared.inspection import storable_text

MOST_WAITING = 500
"""Of a channel: a mail server that is away for a week needs no thousand mails when it is back."""
KEPT_S = 7 * 24 * 3600.0


class NoticeOutbox:
    """Safe to share between threads. Every method raises RecordsError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, channel: str, now: float, limit: int) -> Sequence[Notice]:
        """Those that should go out now, the oldest first."""
        table = ALERT_NOTICES
        query = (
            select(table)
            .where(table.c.channel == channel, table.c.done_at.is_(None), table.c.due_at <= now)
            .order_by(table.c.id)
            .limit(limit)
        )
        with self._database.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [Notice(row["id"], channel, json.loads(row["says"]), row["tries"]) for row in rows]

    def delivered(self, notice: Notice, now: float) -> None:
        self._set(notice, tries=notice.tries + 1, done_at=now, failed="")

    def failed(self, notice: Notice, why: str, due_at: float) -> None:
        """It goes again then."""
        self._set(notice, tries=notice.tries + 1, failed=storable_text(why, 300), due_at=due_at)

    def given_up(self, notice: Notice, why: str, now: float) -> None:
        self._set(notice, tries=notice.tries + 1, failed=storable_text(why, 300), done_at=now)

    def tidy(self, channel: str, now: float) -> int:
        """Give up the oldest where too many wait, and forget what is done; how many that were."""
        table = ALERT_NOTICES
        waits = (table.c.channel == channel) & table.c.done_at.is_(None)
        with self._database.begin() as connection:
            count = connection.execute(
                select(func.count()).select_from(table).where(waits)
            ).scalar_one()
            dropped = max(0, count - MOST_WAITING)
            if dropped:
                oldest = select(table.c.id).where(waits).order_by(table.c.id).limit(dropped)
                numbers = list(connection.execute(oldest).scalars())
                connection.execute(
                    update(table)
                    .where(table.c.id.in_(numbers))
                    .values(done_at=now, failed=f"more than {MOST_WAITING} waited")
                )
            connection.execute(delete(table).where(table.c.done_at < now - KEPT_S))
        return dropped

    def _set(self, notice: Notice, **values: object) -> None:
        with self._database.begin() as connection:
            connection.execute(
                update(ALERT_NOTICES).where(ALERT_NOTICES.c.id == notice.id).values(**values)
            )
