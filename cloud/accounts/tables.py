"""Accounts, their sessions and tokens, and the audit log. Times are UTC seconds since 1970."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

LONGEST_NAME = 63
COUNTED_BY_US = {"autoincrement": False}


class AccountRecord(SQLModel, table=True):
    """A person who may sign in. It is never deleted, so that its name stays one person's.

    password   argon2, with salt and cost in it; empty: none was chosen yet, or none is needed
    """

    __tablename__ = "accounts"

    name: str = Field(primary_key=True, max_length=LONGEST_NAME)
    role: str = Field(max_length=16)
    password: str = Field(max_length=255)
    disabled: bool = False
    created_at: float
    signed_in_at: float | None = None


class SessionRecord(SQLModel, table=True):
    """A browser in which somebody has signed in; kept for a while after its end, to know it again.

    key     SHA-256 of what the cookie holds
    holder  the account
    """

    __tablename__ = "sessions"

    key: str = Field(primary_key=True, max_length=64)
    holder: str = Field(max_length=128, index=True)
    address: str = Field(max_length=64)
    opened_at: float
    seen_at: float
    ended_at: float | None = None
    revoked: bool = False


class TokenRecord(SQLModel, table=True):
    """What a program shows instead of a password.

    id       its first part, which is no secret
    key      SHA-256 of the whole
    purpose  what it is for, in words
    scopes   with commas between
    """

    __tablename__ = "tokens"

    id: str = Field(primary_key=True, max_length=16)
    key: str = Field(max_length=64)
    owner: str = Field(max_length=LONGEST_NAME, index=True)
    purpose: str = Field(max_length=100)
    scopes: str = Field(max_length=200)
    created_at: float
    expires_at: float | None = None
    used_at: float | None = None
    revoked_at: float | None = None


class FirstAccountRecord(SQLModel, table=True):
    """A link with which the first account can be made, once.

    key   SHA-256 of its secret part
    """

    __tablename__ = "first_account_links"

    key: str = Field(primary_key=True, max_length=64)
    expires_at: float


class PasswordLinkRecord(SQLModel, table=True):
    """A link with which a person can choose the password of an account, once.

    key   SHA-256 of its secret part
    """

    __tablename__ = "password_links"

    key: str = Field(primary_key=True, max_length=64)
    account: str = Field(max_length=LONGEST_NAME, index=True)
    expires_at: float


class ElsewhereRecord(SQLModel, table=True):
    """Who an account is elsewhere: a provider's own word for a person, which it gives no other."""

    __tablename__ = "identities"

    issuer: str = Field(primary_key=True, max_length=255)
    subject: str = Field(primary_key=True, max_length=255)
    account: str = Field(max_length=LONGEST_NAME, index=True)
    created_at: float


class AuditRecord(SQLModel, table=True):
    """One entry; see `shared.web.audit.AuditEntry`.

    number    1, 2, 3 and so on without a gap
    before, after   JSON; empty: nothing
    previous  the hash of the entry before
    hash      of all other columns; see `cloud.accounts.chain`
    """

    __tablename__ = "audit"

    number: int = Field(
        primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    at: float
    who: str = Field(max_length=100)
    means: str = Field(max_length=32)
    address: str = Field(max_length=64)
    what: str = Field(max_length=100)
    subject: str = Field(max_length=255)
    before: str
    after: str
    previous: str = Field(max_length=64, unique=True)
    hash: str = Field(max_length=64)


class AuditHeadRecord(SQLModel, table=True):
    """How far the audit log goes: one row, whose lock puts writers in a row."""

    __tablename__ = "audit_head"

    id: int = Field(primary_key=True, sa_column_kwargs=COUNTED_BY_US)
    number: int = Field(sa_type=BigInteger)
    hash: str = Field(max_length=64)
