"""Browsers in which somebody has signed in. The cookie holds a random number, we its hash."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
from sqlmodel import col

from cloud.accounts.audit import AuditLog
from cloud.accounts.tables import AccountRecord, SessionRecord
from cloud.records.database import Database
from shared.clock import Clock
from shared.errors import AccountError, RecordsError
from shared.web.access import Caller, Role

TOUCH_S = 60.0
REMEMBERED_S = 90 * 86_400.0
LONGEST_COOKIE = 128


class OpenSession(NamedTuple):
    """Who has signed in there.

    key    of the session, no secret
    role   None: of no account, but of the configuration's token
    """

    key: str
    holder: str
    role: Role | None


class SessionView(BaseModel):
    """A session without what its cookie holds."""

    key: str
    address: str = Field(description="from where it was opened")
    opened_at: float = Field(description="UTC seconds")
    seen_at: float = Field(description="UTC seconds, to the minute")


class Sessions:
    """All sessions. Safe to share between threads. Each call raises RecordsError.

    idle_s       a session ends after so long without a request
    absolute_s   and so long after its begin, whatever comes
    """

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        clock: Clock,
        *,
        idle_s: float,
        absolute_s: float,
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._idle_s = idle_s
        self.absolute_s = absolute_s

    def open(self, holder: str, by: Caller, at: str = "") -> str:
        """A new session, with its entry in the audit log; what the cookie shall hold.

        at   where they signed in; empty: here, with a password
        """
        cookie = secrets.token_urlsafe(32)
        now = self._clock.utc()
        row = {
            "key": key_of(cookie),
            "holder": holder,
            "address": by.address,
            "revoked": False,
            "opened_at": now,
            "seen_at": now,
            "ended_at": None,
        }
        with self._database.begin() as connection:
            after = {"at": at} if at else None
            self._audit.append(connection, by.did("sign in", by.name, None, after))
            connection.execute(insert(SessionRecord).values(row))
            old = col(SessionRecord.seen_at) < now - REMEMBERED_S
            connection.execute(delete(SessionRecord).where(old))
        return cookie

    def find(self, cookie: str) -> OpenSession | None:
        """The open session of a cookie, with the role that its account has now; else None."""
        row = self._row(cookie)
        if row is None or not self._is_open(row) or row["disabled"]:
            return None
        now = self._clock.utc()
        if now - row["seen_at"] >= TOUCH_S:
            # Who only looks shall not be turned away because nothing can be written.
            with contextlib.suppress(RecordsError), self._database.begin() as connection:
                connection.execute(
                    update(SessionRecord)
                    .where(col(SessionRecord.key) == row["key"])
                    .values(seen_at=now)
                )
        return OpenSession(row["key"], row["holder"], row["role"])

    def remembers(self, cookie: str, holder: str) -> bool:
        """Whether somebody of this name has signed in there before and was not put out."""
        row = self._row(cookie)
        return row is not None and row["holder"] == holder and not row["revoked"]

    def close(self, cookie: str, by: Caller) -> None:
        """Sign out."""
        with self._database.begin() as connection:
            self._audit.append(connection, by.did("sign out", by.name))
            which = col(SessionRecord.key) == key_of(cookie)
            end_sessions(connection, which, self._clock.utc(), revoked=False)

    def revoke_all(self, holder: str, by: Caller) -> int:
        """End every session of a person; how many there were."""
        with self._database.begin() as connection:
            self._audit.append(connection, by.did("sessions revoke", holder))
            which = col(SessionRecord.holder) == holder
            return end_sessions(connection, which, self._clock.utc(), revoked=True)

    def revoke(self, key: str, holder: str, by: Caller) -> None:
        """End one session of a person. Raises AccountError where that is none that is open."""
        with self._database.begin() as connection:
            self._audit.append(connection, by.did("session revoke", holder))
            which = (col(SessionRecord.key) == key) & (col(SessionRecord.holder) == holder)
            if end_sessions(connection, which, self._clock.utc(), revoked=True) != 1:
                raise AccountError(
                    f"{holder} has no such session", fix="it may have ended by itself"
                )

    def revoke_others(self, holder: str, cookie: str, by: Caller) -> int:
        """End every session of a person but the one of this cookie; how many there were."""
        with self._database.begin() as connection:
            self._audit.append(connection, by.did("sessions revoke", holder))
            which = (col(SessionRecord.key) != key_of(cookie)) & (
                col(SessionRecord.holder) == holder
            )
            return end_sessions(connection, which, self._clock.utc(), revoked=True)

    def of(self, holder: str) -> list[SessionView]:
        """Those that are open, newest first."""
        query = (
            select(SessionRecord)
            .where(col(SessionRecord.holder) == holder)
            .order_by(col(SessionRecord.opened_at).desc())
        )
        with self._database.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [SessionView.model_validate(row) for row in map(dict, rows) if self._is_open(row)]

    def _is_open(self, row: Mapping[str, Any]) -> bool:
        now = self._clock.utc()
        # A clock that was set back by more than it may be idle ends it, too.
        idle = abs(now - row["seen_at"]) < self._idle_s
        return row["ended_at"] is None and idle and now - row["opened_at"] < self.absolute_s

    def _row(self, cookie: str) -> Mapping[str, Any] | None:
        if not cookie or len(cookie) > LONGEST_COOKIE:
            return None
        session, account = SessionRecord, AccountRecord
        query = (
            select(session, col(account.role), col(account.disabled))
            .outerjoin(account, col(session.holder) == col(account.name))
            .where(col(session.key) == key_of(cookie))
        )
        with self._database.begin() as connection:
            found = connection.execute(query).mappings().one_or_none()
        return dict(found) if found is not None else None


def end_sessions(
    connection: Connection, which: ColumnElement[bool], at: float, *, revoked: bool
) -> int:
    """End those that are open, at UTC second `at`; how many that were.

    revoked   somebody was put out, and did not sign out
    """
    open_ = update(SessionRecord).where(which, col(SessionRecord.ended_at).is_(None))
    return connection.execute(open_.values(ended_at=at, revoked=revoked)).rowcount


def key_of(secret: str) -> str:
    """What is kept of a random secret: it is long enough to need neither salt nor cost."""
    return hashlib.sha256(secret.encode()).hexdigest()
