"""People who may sign in: made, changed and put out, each time with an entry of the audit log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlmodel import col

from cloud.accounts.audit import AuditLog
from cloud.accounts.passwords import Passwords
from cloud.accounts.sessions import end_sessions
from cloud.accounts.tables import (
    AccountRecord,
    FirstAccountRecord,
    PasswordLinkRecord,
    SessionRecord,
)
from cloud.records.database import Database
from shared.clock import Clock
from shared.errors import AccountError
from shared.web.access import Caller, Role

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,61}[a-z0-9]|[a-z0-9]")


class AccountView(BaseModel):
    """An account without its password."""

    name: str
    role: Role
    disabled: bool
    created_at: float = Field(description="UTC seconds")
    signed_in_at: float | None = Field(description="UTC seconds; null: never")
    ready: bool = Field(default=True, description="whether its person has chosen what to type")


class Accounts:
    """All accounts. Safe to share between threads. Each call raises RecordsError."""

    def __init__(
        self, database: Database, audit: AuditLog, clock: Clock, passwords: Passwords
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._passwords = passwords

    @property
    def any(self) -> bool:
        """Whether there is one, enabled or not."""
        with self._database.begin() as connection:
            return connection.execute(select(col(AccountRecord.name)).limit(1)).first() is not None

    def knows(self, name: str) -> bool:
        """Whether there is one of this name."""
        with self._database.begin() as connection:
            return _find(connection, name) is not None

    def require(self, name: str) -> None:
        """Raises AccountError where there is none of this name."""
        if not self.knows(name):
            raise _unknown(name)

    def all(self) -> list[AccountView]:
        """By name."""
        query = select(AccountRecord).order_by(col(AccountRecord.name))
        with self._database.begin() as connection:
            return [_view(dict(row)) for row in connection.execute(query).mappings()]

    def get(self, name: str) -> AccountView:
        """Raises AccountError for an unknown name."""
        with self._database.begin() as connection:
            found = _find(connection, name)
        if found is None:
            raise _unknown(name)
        return _view(found)

    def invite(
        self,
        name: str,
        role: Role,
        by: Caller,
        also: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        """An account whose password its person is still to choose, or needs none. Raises as `add`.

        also   written in the same transaction
        """
        row = self._new(name, role, None)
        with self._database.begin() as connection:
            self._insert(connection, row, by, "account add")
            also(connection)

    def add(self, name: str, role: Role, password: str, by: Caller) -> None:
        """Raises AccountError for a name that is taken or can't be, or a weak password."""
        row = self._new(name, role, password)
        with self._database.begin() as connection:
            self._insert(connection, row, by, "account add")

    def add_first(self, key: str, name: str, password: str, by: Caller) -> None:
        """The first admin, with a link of this key, which then works no longer.

        Raises AccountError where there is no such link, or an account already.
        """
        row = self._new(name, "admin", password)
        link = FirstAccountRecord
        good = (col(link.key) == key, col(link.expires_at) > self._clock.utc())
        with self._database.begin() as connection:
            used = connection.execute(delete(link).where(*good))
            if used.rowcount != 1 or self._count(connection):
                raise AccountError(
                    "this link works no longer",
                    fix="start the cloud again for another, or use `splitsight cloud account add`",
                )
            self._insert(connection, row, by, "account add")

    def set_role(self, name: str, role: Role, by: Caller) -> None:
        """Raises AccountError for an unknown name, or the last admin."""
        self._change(name, {"role": role}, by, "account role")

    def disable(self, name: str, by: Caller, *, disabled: bool = True) -> None:
        """Put somebody out, at once, or let them in again. Raises as `set_role`."""
        what = "account disable" if disabled else "account enable"
        self._change(name, {"disabled": disabled}, by, what, ends=disabled)

    def set_password(self, name: str, password: str, by: Caller) -> None:
        """Give another password; whoever signed in with the old one must do so again.

        Raises AccountError for an unknown name or a weak password.
        """
        kept = self._passwords.hash(password, name)
        self._change(name, {"password": kept}, by, "account password", ends=True)

    def recognise(self, name: str, password: str) -> AccountView | None:
        """Whose password this is; None where it is nobody's, which takes as long to say.

        Raises AccountError where too many ask at once.
        """
        with self._database.begin() as connection:
            found = _find(connection, name)
        # An empty one is none: it takes as long, and never fits.
        right = self._passwords.fits(password, (found["password"] or None) if found else None)
        if found is None or not right or found["disabled"]:
            return None
        changes: dict[str, Any] = {"signed_in_at": self._clock.utc()}
        if self._passwords.outdated(found["password"]):
            changes["password"] = self._passwords.rehash(password)
        with self._database.begin() as connection:
            connection.execute(
                update(AccountRecord).where(col(AccountRecord.name) == name).values(changes)
            )
        return _view({**found, **changes})

    def choose_password(self, link: str, password: str, address: str) -> str:
        """With a link's key, which then works no longer; whose password it is now.

        Raises AccountError where there is no such link, or for a weak password.
        """
        table, now = PasswordLinkRecord, self._clock.utc()
        good = (col(table.key) == link, col(table.expires_at) > now)
        with self._database.begin() as connection:
            name = connection.execute(select(col(table.account)).where(*good)).scalar_one_or_none()
        if name is None:
            raise _spent()
        kept = self._passwords.hash(password, name)
        by = Caller(name, None, means="nothing", address=address)
        with self._database.begin() as connection:
            # Whoever comes second with one link finds it gone.
            if connection.execute(delete(table).where(*good)).rowcount != 1:
                raise _spent()
            connection.execute(delete(table).where(col(table.account) == name))
            self._replace(connection, name, {"password": kept}, by, "account password", ends=True)
        return str(name)

    def change_own_password(self, name: str, old: str, new: str, by: Caller) -> None:
        """Raises AccountError where the old one is wrong or the new one weak."""
        with self._database.begin() as connection:
            found = _find(connection, name)
        kept = found["password"] if found else None
        if not self._passwords.fits(old, kept or None):
            raise AccountError(
                "the password of now is wrong", fix="type the one you signed in with"
            )
        self.set_password(name, new, by)

    def signed_in(self, name: str) -> None:
        """Somebody whom another vouches for; with a password `recognise` does it."""
        with self._database.begin() as connection:
            connection.execute(
                update(AccountRecord)
                .where(col(AccountRecord.name) == name)
                .values(signed_in_at=self._clock.utc())
            )

    def _new(self, name: str, role: Role, password: str | None) -> dict[str, Any]:
        if not NAME.fullmatch(name):
            raise AccountError(
                f"{name[:70]!r} can't be an account's name",
                fix="take small letters, digits, dots, hyphens and underscores, 63 at most",
            )
        kept = "" if password is None else self._passwords.hash(password, name)
        now = self._clock.utc()
        return {
            "name": name,
            "role": role,
            "password": kept,
            "disabled": False,
            "created_at": now,
            "signed_in_at": None,
        }

    def _insert(self, connection: Connection, row: dict[str, Any], by: Caller, what: str) -> None:
        # The entry first: its lock keeps two from making one name at a time.
        self._audit.append(connection, by.did(what, row["name"], None, {"role": row["role"]}))
        if _find(connection, row["name"]) is not None:
            raise AccountError(f"the name {row['name']} is taken", fix="take another")
        connection.execute(insert(AccountRecord).values(row))

    def _change(
        self, name: str, values: dict[str, Any], by: Caller, what: str, *, ends: bool = False
    ) -> None:
        with self._database.begin() as connection:
            self._replace(connection, name, values, by, what, ends=ends)

    def _replace(
        self,
        connection: Connection,
        name: str,
        values: dict[str, Any],
        by: Caller,
        what: str,
        *,
        ends: bool,
    ) -> None:
        shown = {key: value for key, value in values.items() if key != "password"}
        found = _find(connection, name)
        if found is None:
            raise _unknown(name)
        before = {key: found[key] for key in shown}
        self._audit.append(connection, by.did(what, name, before, shown))
        connection.execute(
            update(AccountRecord).where(col(AccountRecord.name) == name).values(values)
        )
        # Looked at behind the lock, so that two admins can't put out each other.
        if found["role"] == "admin" and not self._count(connection, admins=True):
            raise AccountError(
                f"{name} is the last admin", fix="make somebody else an admin before"
            )
        if ends:
            which = col(SessionRecord.holder) == name
            end_sessions(connection, which, self._clock.utc(), revoked=True)

    def _count(self, connection: Connection, *, admins: bool = False) -> int:
        account = AccountRecord
        query = select(func.count()).select_from(account)
        if admins:
            query = query.where(col(account.role) == "admin", col(account.disabled).is_(False))
        return int(connection.execute(query).scalar_one())


def _unknown(name: str) -> AccountError:
    return AccountError(
        f"there is no account {name[:70]!r}",
        fix="`splitsight cloud account list` lists them",
        missing=True,
    )


def _spent() -> AccountError:
    return AccountError("this link works no longer", fix="ask an admin for another")


def _view(row: Mapping[str, Any]) -> AccountView:
    return AccountView.model_validate({**row, "ready": bool(row["password"])})


def _find(connection: Connection, name: str) -> Mapping[str, Any] | None:
    query = select(AccountRecord).where(col(AccountRecord.name) == name)
    found = connection.execute(query).mappings().one_or_none()
    return dict(found) if found is not None else None
