"""Tokens for programs: shown once, kept as a hash, good for some scopes and some time."""

from __future__ import annotations

import contextlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, Field
from sqlalchemy import insert, select, update
from sqlmodel import col

from cloud.accounts.audit import AuditLog
from cloud.accounts.sessions import TOUCH_S, key_of
from cloud.accounts.tables import AccountRecord, TokenRecord
from cloud.records.database import Database
from shared.clock import Clock
from shared.errors import AccountError, RecordsError
from shared.web.access import TOKEN_SCOPES, Caller, Role, TokenScope

FORM = re.compile(r"sst_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
DAY_S = 86_400.0


class FoundToken(NamedTuple):
    """Whose token it is, and what it may be used for; the role is the owner's of now."""

    id: str
    owner: str
    role: Role
    scopes: frozenset[TokenScope]


class TokenView(BaseModel):
    """A token without what makes it one."""

    id: str
    owner: str
    purpose: str
    scopes: list[str] = Field(description="as it was made; one that there is no more opens nothing")
    created_at: float = Field(description="UTC seconds")
    expires_at: float | None = Field(description="UTC seconds; null: never")
    used_at: float | None = Field(description="UTC seconds, to the minute; null: never")
    revoked_at: float | None = Field(description="UTC seconds; null: it is not")


class Tokens:
    """All tokens. Safe to share between threads. Each call raises RecordsError."""

    def __init__(self, database: Database, audit: AuditLog, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def add(
        self,
        owner: str,
        purpose: str,
        scopes: Sequence[str],
        by: Caller,
        *,
        days: float | None = None,
    ) -> str:
        """The new token: it is shown this once. Raises AccountError for an unknown owner."""
        unknown = [one for one in scopes if one not in TOKEN_SCOPES]
        if unknown or not scopes:
            raise AccountError(
                f"{', '.join(unknown) or 'nothing'} is no scope of a token",
                fix=f"take some of {', '.join(TOKEN_SCOPES)}",
            )
        now, id_ = self._clock.utc(), secrets.token_hex(6)
        token = f"sst_{id_}_{secrets.token_urlsafe(32)}"
        row = {
            "id": id_,
            "key": key_of(token),
            "owner": owner,
            "purpose": purpose,
            "scopes": ",".join(one for one in TOKEN_SCOPES if one in scopes),
            "created_at": now,
            "used_at": None,
            "revoked_at": None,
            "expires_at": None if days is None else now + days * DAY_S,
        }
        after = {key: row[key] for key in ("owner", "purpose", "scopes", "expires_at")}
        with self._database.begin() as connection:
            self._audit.append(connection, by.did("token add", id_, None, after))
            known = select(col(AccountRecord.name)).where(
                col(AccountRecord.name) == owner, col(AccountRecord.disabled).is_(False)
            )
            if connection.execute(known).first() is None:
                raise AccountError(
                    f"there is no account {owner!r} to own the token",
                    fix="make one with `splitsight cloud account add`",
                )
            connection.execute(insert(TokenRecord).values(row))
        return token

    def find(self, token: str) -> FoundToken | None:
        """What a token is good for now; None where it is none, or no longer."""
        form = FORM.fullmatch(token)
        if form is None:
            return None
        query = (
            select(TokenRecord, col(AccountRecord.role), col(AccountRecord.disabled))
            .join(AccountRecord, col(TokenRecord.owner) == col(AccountRecord.name))
            .where(col(TokenRecord.id) == form.group(1))
        )
        with self._database.begin() as connection:
            row = connection.execute(query).mappings().one_or_none()
        now = self._clock.utc()
        # Compared even where there is none, so that an unknown token takes as long.
        right = hmac.compare_digest(key_of(token), row["key"] if row else "0" * 64)
        if row is None or not right or row["revoked_at"] is not None or row["disabled"]:
            return None
        if row["expires_at"] is not None and row["expires_at"] <= now:
            return None
        if row["used_at"] is None or now - row["used_at"] >= TOUCH_S:
            with contextlib.suppress(RecordsError), self._database.begin() as connection:
                connection.execute(
                    update(TokenRecord).where(col(TokenRecord.id) == row["id"]).values(used_at=now)
                )
        return FoundToken(row["id"], row["owner"], row["role"], _known(row["scopes"]))

    def all(self, owner: str | None = None) -> list[TokenView]:
        """Newest first."""
        query = select(TokenRecord).order_by(col(TokenRecord.created_at).desc())
        if owner is not None:
            query = query.where(col(TokenRecord.owner) == owner)
        with self._database.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            TokenView.model_validate({**row, "scopes": row["scopes"].split(",")}) for row in rows
        ]

    def revoke(self, id_: str, by: Caller) -> None:
        """Raises AccountError where there is no such token."""
        with self._database.begin() as connection:
            self._audit.append(connection, by.did("token revoke", id_))
            done = connection.execute(
                update(TokenRecord)
                .where(col(TokenRecord.id) == id_, col(TokenRecord.revoked_at).is_(None))
                .values(revoked_at=self._clock.utc())
            )
            if done.rowcount != 1:
                raise AccountError(
                    f"there is no token {id_[:20]!r} that is good",
                    fix="`splitsight cloud token list` lists them",
                    missing=True,
                )


def _known(text: str) -> frozenset[TokenScope]:
    """Without those that an earlier version gave and this one has not."""
    given = text.split(",")
    return frozenset(scope for scope in TOKEN_SCOPES if scope in given)
