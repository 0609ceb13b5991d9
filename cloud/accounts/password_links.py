"""Links with which people choose their own password, so that no admin ever knows it."""

from __future__ import annotations

import secrets

from sqlalchemy import delete, insert, select
from sqlmodel import col

from cloud.accounts.audit import AuditLog
from cloud.accounts.sessions import key_of
from cloud.accounts.tables import AccountRecord, PasswordLinkRecord
from cloud.records.database import Database
from shared.clock import Clock
from shared.errors import AccountError
from shared.web.access import Caller

PATH = "/password"
GOOD_S = 72 * 3600.0


class PasswordLinks:
    """All that were offered. Safe to share between threads. Each call raises RecordsError."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def offer(self, name: str, by: Caller) -> str:
        """The secret part of a new link, shown this once; earlier ones of the account end.

        Raises AccountError for an unknown name, or one that was put out.
        """
        secret, now, link = secrets.token_urlsafe(32), self._clock.utc(), PasswordLinkRecord
        row = {"key": key_of(secret), "account": name, "expires_at": now + GOOD_S}
        with self._database.begin() as connection:
            self._audit.append(connection, by.did("password link", name))
            account = col(AccountRecord.name) == name, col(AccountRecord.disabled).is_(False)
            known = select(col(AccountRecord.name)).where(*account)
            if connection.execute(known).first() is None:
                raise AccountError(
                    f"there is no account {name[:70]!r} that may sign in", fix="let it in again"
                )
            old = (col(link.account) == name) | (col(link.expires_at) <= now)
            connection.execute(delete(link).where(old))
            connection.execute(insert(link).values(row))
        return secret

    def account_of(self, secret: str) -> str | None:
        """Whose password a link lets choose; None where it works no longer."""
        link = PasswordLinkRecord
        good = (col(link.key) == key_of(secret), col(link.expires_at) > self._clock.utc())
        with self._database.begin() as connection:
            found = connection.execute(select(col(link.account)).where(*good)).scalar_one_or_none()
        return None if found is None else str(found)
