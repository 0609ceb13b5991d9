"""Accounts, sessions, tokens and the audit log under /api."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cloud.accounts.access import Access
from cloud.accounts.accounts import AccountView
from cloud.accounts.audit import AuditView
from cloud.accounts.sessions import SessionView
from cloud.accounts.tokens import TokenView
from cloud.web.problems import Problem
from shared.inspection import LARGEST_NUMBER
from shared.web.access import Caller, Means, Role, TokenScope, caller_of
from shared.web.roles import OWN_ENTRY, needs

Name = Annotated[str, Path(max_length=63)]
Before = Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER, description="number of an entry")]
By = Annotated[Caller, Depends(caller_of)]
ADMIN_READS = [needs("admin", "admin")]
ADMIN = [needs("admin", "admin", OWN_ENTRY)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PasswordWanted(_Asked):
    """A new password."""

    password: SecretStr = Field(description="12 characters or more")


class AccountWanted(PasswordWanted):
    """Who shall be able to sign in."""

    name: str = Field(max_length=63)
    role: Role


class AccountChange(_Asked):
    """What shall be another way; null: as it is."""

    role: Role | None = None
    disabled: bool | None = None


class TokenWanted(_Asked):
    """What a program shall be able to do, in the name of whom."""

    owner: str | None = Field(default=None, max_length=63, description="null: whoever asks")
    purpose: str = Field(min_length=1, max_length=100, description="what it is for")
    scopes: list[TokenScope] = Field(min_length=1)
    days: float | None = Field(default=90.0, gt=0, le=3650, description="null: for ever")


class TokenMade(BaseModel):
    """The token is shown this once."""

    token: str


class SessionsEnded(BaseModel):
    """How many there were."""

    ended: int


class CallerView(BaseModel):
    """Who calls, and what they may do."""

    name: str
    role: Role
    scopes: list[TokenScope] | None = Field(description="of a token; null: all that the role may")
    means: Means


def account_routes(access: Access) -> APIRouter:
    """Who may sign in. Plain functions: each runs on a thread of its own."""
    routes = APIRouter(prefix="/api", responses={503: {"model": Problem}})
    accounts, sessions = access.accounts, access.sessions

    @routes.get("/me", dependencies=[needs("viewer")])
    def me(caller: By) -> CallerView:
        """Who you are."""
        scopes = None if caller.scopes is None else sorted(caller.scopes)
        role = caller.role or "viewer"
        return CallerView(name=caller.name, role=role, scopes=scopes, means=caller.means)

    @routes.get("/accounts", dependencies=ADMIN_READS)
    def all_accounts() -> list[AccountView]:
        """Everybody who may sign in, or might."""
        return accounts.all()

    @routes.post("/accounts", status_code=201, dependencies=ADMIN)
    def add(wanted: AccountWanted, by: By) -> list[AccountView]:
        """One more."""
        accounts.add(wanted.name, wanted.role, wanted.password.get_secret_value(), by)
        return accounts.all()

    @routes.patch("/accounts/{name}", dependencies=ADMIN)
    def change(name: Name, wanted: AccountChange, by: By) -> list[AccountView]:
        """Another role, or put out, or let in again; it counts from the next request on."""
        if wanted.role is not None:
            accounts.set_role(name, wanted.role, by)
        if wanted.disabled is not None:
            accounts.disable(name, by, disabled=wanted.disabled)
        return accounts.all()

    @routes.put("/accounts/{name}/password", status_code=204, dependencies=ADMIN)
    def password(name: Name, wanted: PasswordWanted, by: By) -> None:
        """Another password; every session of the account ends."""
        accounts.set_password(name, wanted.password.get_secret_value(), by)

    @routes.get("/accounts/{name}/sessions", dependencies=ADMIN_READS)
    def sessions_of(name: Name) -> list[SessionView]:
        """Where somebody is signed in."""
        accounts.require(name)
        return sessions.of(name)

    @routes.delete("/accounts/{name}/sessions", dependencies=ADMIN)
    def end_sessions(name: Name, by: By) -> SessionsEnded:
        """Sign somebody out everywhere."""
        accounts.require(name)
        return SessionsEnded(ended=sessions.revoke_all(name, by))

    return routes


def token_routes(access: Access) -> APIRouter:
    """What programs may do, and what was done."""
    routes = APIRouter(prefix="/api", responses={503: {"model": Problem}})
    tokens = access.tokens

    @routes.get("/tokens", dependencies=ADMIN_READS)
    def all_tokens() -> list[TokenView]:
        """Every token, without what makes it one."""
        return tokens.all()

    @routes.post("/tokens", status_code=201, dependencies=ADMIN)
    def add_token(wanted: TokenWanted, by: By) -> TokenMade:
        """One more; it is shown this once."""
        owner = wanted.owner or by.name
        token = tokens.add(owner, wanted.purpose, wanted.scopes, by, days=wanted.days)
        return TokenMade(token=token)

    @routes.delete("/tokens/{id}", status_code=204, dependencies=ADMIN)
    def revoke_token(id: Annotated[str, Path(max_length=16)], by: By) -> None:  # noqa: A002
        """It is good for nothing from the next request on."""
        tokens.revoke(id, by)

    @routes.get("/audit", dependencies=ADMIN_READS)
    def audit(
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        before: Before = None,
    ) -> list[AuditView]:
        """Who did what, newest first."""
        return access.audit.newest(limit, before)

    return routes
