"""Who calls: their name, role and means, known to all that answers their request."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import AccessRefused, SettingsError
from shared.web.audit import AuditEntry, AuditTrail, Facts, RecordingTrail

Role = Literal["viewer", "inspector", "engineer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""
TokenScope = Literal["read", "label", "release", "rollout", "identity", "admin"]
TOKEN_SCOPES: tuple[TokenScope, ...] = get_args(TokenScope)
Means = Literal["session", "token", "configured token", "machine", "command", "nothing"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, or gave a command.

    name     of the account; of a token its owner's
    role     None: nobody is signed in
    scopes   what a token may be used for; None: a person, for everything that the role allows
    means    how it is known; `machine`: by nothing but being on it
    address  from where, as the network says
    """

    name: str
    role: Role | None
    scopes: frozenset[TokenScope] | None = None
    means: Means = "session"
    address: str = ""

    @property
    def proven(self) -> bool:
        """Whether it is known which person it is, or whose token."""
        return self.means in {"session", "token"}

    def may(self, role: Role | None, scope: TokenScope) -> bool:
        """Whether the role is at least this one, and a token is for that."""
        if role is None:
            return True
        if self.role is None or ROLES.index(self.role) < ROLES.index(role):
            return False
        return self.scopes is None or scope in self.scopes

    def signs(self, said: str | None = None, field: str = "") -> str:
        """Who did it: the person, or what was `said` where nobody can know.

        field   where it can be said: then it must be. Raises SettingsError
        """
        said = (said or "").strip()
        if field and not self.proven and not said:
            raise SettingsError(
                f"{field}: nobody says who it is", fix=f"sign in, or send a name in `{field}`"
            )
        return self.name if self.proven else said or self.name

    def did(
        self,
        what: str,
        subject: str,
        before: Facts | None = None,
        after: Facts | None = None,
        said: str = "",
    ) -> AuditEntry:
        """What is written down of it."""
        who = self.signs(said)
        return AuditEntry(who, self.means, self.address, what, subject, before, after)


NOBODY = Caller("", None, means="nothing")
LOCAL = Caller("this machine", "admin", means="machine")


@dataclass(slots=True)
class Visit:
    """A request's caller, and what came of it.

    trail   where what they do is written down
    stays   whether they may still stay, for answers that take hours
    asked   the change that was written down before it was made
    """

    caller: Caller
    trail: AuditTrail
    stays: Callable[[], bool] = lambda: True
    asked: AuditEntry | None = None


_caller: ContextVar[Caller] = ContextVar("caller", default=NOBODY)


def current_caller() -> Caller:
    """Whose request is being answered, for templates."""
    return _caller.get()


def visit_of(request: HTTPConnection) -> Visit:
    """The visit that a request belongs to. Raises AccessRefused where nobody has looked."""
    visit = request.scope.get("state", {}).get("visit")
    if not isinstance(visit, Visit):
        raise AccessRefused("nobody has looked at who calls", fix="serve this behind its access")
    return visit


def caller_of(request: Request) -> Caller:
    """A dependency of routes that need to know."""
    return visit_of(request).caller


async def attend(visit: Visit, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, and add to what was written down of it that it was refused."""
    scope.setdefault("state", {})["visit"] = visit
    _caller.set(visit.caller)

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start" and visit.asked and message["status"] >= 400:
            asked, visit.asked = visit.asked, None
            after = {"status": message["status"]}
            refused = replace(asked, what=f"{asked.what} refused", before=None, after=after)
            await run_in_threadpool(visit.trail.record, refused)
        await send(message)

    await app(scope, receive, told)


def site_of(address: str) -> str:
    """What counts as one address: IPv6 comes by networks of 64 bits."""
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(given, ipaddress.IPv4Address):
        return str(given)
    if given.ipv4_mapped is not None:
        return str(given.ipv4_mapped)
    return str(ipaddress.ip_network((given, 64), strict=False))


@dataclass(slots=True)
class FixedAccess:
    """Middleware that takes every caller for one: for tests, and where routes are tried alone."""

    app: ASGIApp
    caller: Caller = LOCAL
    trail: AuditTrail = field(default_factory=RecordingTrail)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(self.caller, self.trail)
        await attend(visit, self.app, scope, receive, send)
