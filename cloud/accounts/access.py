"""Who calls the cloud: a session's cookie, a token, or whoever is on this machine."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from starlette.requests import Request

from cloud.accounts.accounts import Accounts
from cloud.accounts.audit import AuditLog
from cloud.accounts.identity import Identities
from cloud.accounts.oidc_person import Person
from cloud.accounts.password_links import PasswordLinks
from cloud.accounts.passwords import Passwords
from cloud.accounts.sessions import Sessions, key_of
from cloud.accounts.throttle import GuessThrottle, Subject
from cloud.accounts.tokens import Tokens
from cloud.records.database import Database
from shared.clock import Clock
from shared.errors import AccessRefused, AccountError, RecordsError, TooManyGuesses
from shared.log import get_logger
from shared.web.access import LOCAL, NOBODY, Caller, Visit, site_of

log = get_logger("access")

COOKIE = "splitsight"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
CONFIGURED = "api.token"
MOST_KNOWN = 1_000
HOUR_S = 3600.0
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Access:
    """Looks at every request. Safe to share between threads.

    token   of the configuration, for all and everything; None: there is none
    local   whether those on this machine may do everything as long as there is no account
    """

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        tokens: Tokens,
        audit: AuditLog,
        *,
        links: PasswordLinks,
        identities: Identities,
        throttle: GuessThrottle,
        token: str | None = None,
        local: bool = True,
    ) -> None:
        self.accounts = accounts
        self.sessions = sessions
        self.tokens = tokens
        self.audit = audit
        self.links = links
        self.identities = identities
        self._throttle = throttle
        self._token = token
        self._local = local and token is None
        self._inhabited: bool | None = None
        self._known: OrderedDict[str, Caller] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def takes_token(self) -> bool:
        """Whether the configuration has a token with which one may sign in."""
        return self._token is not None

    def visit(self, request: Request) -> Visit:
        """The visit of a request: its caller is NOBODY where it shows nothing that counts.

        Raises TooManyGuesses, RecordsError, and AccessRefused for a host that is not this machine.
        """
        caller = self._caller(request)
        cookie = request.cookies.get(COOKIE, "")
        stays: Callable[[], bool] = lambda: True  # noqa: E731
        if caller.means == "session":
            stays = lambda: self._signed_in(cookie, caller.address) is not None  # noqa: E731
        return Visit(caller, self.audit, stays)

    def sign_in(self, name: str, password: str, request: Request) -> tuple[Caller, str]:
        """Who this is, and what their cookie shall hold.

        Raises AccountError where it is nobody, TooManyGuesses, RecordsError.
        """
        address = address_of(request)
        name = name.strip().casefold()
        holder = name or self._holder
        subjects = self._subjects(holder, address, request.cookies.get(COOKIE, ""))
        if wait := self._throttle.attempt(*subjects):
            raise TooManyGuesses(wait)
        found = self.accounts.recognise(name, password) if name else None
        if found is not None:
            caller = Caller(found.name, found.role, address=address)
        elif not name and self._is_token(password):
            caller = _configured(address)
        else:
            self._throttle.failed(*subjects)
            raise AccountError(
                "name or password is wrong", fix="an admin can give you a new password"
            )
        self._throttle.succeeded(*subjects)
        return caller, self.sessions.open(holder, caller)

    def admit(self, issuer: str, person: Person, by: Caller) -> str:
        """Sign in somebody whom a provider vouches for; what their cookie shall hold.

        person   with a role here
        Raises AccountError where they may not, RecordsError.
        """
        role = person.role
        if role is None:
            raise AccountError(f"{person.name} has no role here", fix="ask an admin")
        name = self.identities.adopt(issuer, person.subject, person.name, role, by)
        self.accounts.signed_in(name)
        return self.sessions.open(name, Caller(name, role, address=by.address), issuer)

    def dismiss(self, issuer: str, person: Person, by: Caller) -> None:
        """A provider vouches for them with no role here any more: they are signed in nowhere."""
        name = self.identities.account_of(issuer, person.subject)
        if name is not None:
            self.sessions.revoke_all(name, replace(by, name=name))

    @property
    def open_to_local(self) -> bool:
        """Whether those on this machine may do everything now. Raises RecordsError."""
        if self._local and not self._inhabited:
            try:
                self._inhabited = self.accounts.any
            except RecordsError:
                # It was so a moment ago, and nobody can make an account meanwhile.
                if self._inhabited is None:
                    raise
        return self._local and not self._inhabited

    def _caller(self, request: Request) -> Caller:
        address = address_of(request)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(given.strip(), address) or NOBODY
        cookie = request.cookies.get(COOKIE, "")
        if cookie:
            found = self._signed_in(cookie, address)
            if found is not None:
                return found
        if not self.open_to_local:
            return NOBODY
        if any(name in request.headers for name in FORWARDED):
            return NOBODY
        # Else a page from elsewhere could point its own name at 127.0.0.1 and read along.
        host = request.headers.get("host", "")
        if _without_port(host) not in LOCAL_NAMES:
            raise AccessRefused(
                f"{host[:100]!r} is not a name of this machine",
                fix="call it by 127.0.0.1, or make an account: `splitsight cloud account add`",
            )
        return replace(LOCAL, address=address)

    def _bearer(self, given: str, address: str) -> Caller | None:
        key, subject = key_of(given), Subject("token", site_of(address))
        # Who shows a good one is let through whatever others behind the same address do.
        counted = key not in self._known
        if counted and (wait := self._throttle.attempt(subject)):
            raise TooManyGuesses(wait)
        caller = self._owner(given, key, address)
        if counted and caller is not None:
            self._throttle.succeeded(subject)
        elif caller is None:
            self._forget(key)
            self._throttle.failed(subject)
        return caller

    def _owner(self, given: str, key: str, address: str) -> Caller | None:
        if self._is_token(given):
            return self._keep(key, _configured(address))
        try:
            found = self.tokens.find(given)
        except RecordsError:
            return self._lately(key, address)
        if found is None:
            return None
        return self._keep(key, Caller(found.owner, found.role, found.scopes, "token", address))

    def _signed_in(self, cookie: str, address: str) -> Caller | None:
        key = key_of(cookie)
        try:
            found = self.sessions.find(cookie)
        except RecordsError:
            return self._lately(key, address)
        if found is None:
            self._forget(key)
            return None
        if found.role is not None:
            return self._keep(key, Caller(found.holder, found.role, address=address))
        if self._token is None or found.holder != self._holder:
            return None
        return self._keep(key, _configured(address))

    @property
    def _holder(self) -> str:
        """Of sessions that were opened with the configuration's token: another token ends them."""
        return "@" + hashlib.sha256((self._token or "").encode()).hexdigest()[:32]

    def _is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def _subjects(self, holder: str, address: str, cookie: str) -> list[Subject]:
        """Whose failures count for a sign-in."""
        if cookie and self.sessions.remembers(cookie, holder):
            return [Subject("browser", key_of(cookie)[:16])]
        # People type passwords into the wrong field, so unknown names are not told.
        known = holder.startswith("@") or self.accounts.knows(holder)
        name = CONFIGURED if holder.startswith("@") else holder
        told = name if known else f"unknown {key_of(holder)[:8]}"
        return [Subject("account", told), Subject("address", site_of(address))]

    def _keep(self, key: str, caller: Caller) -> Caller:
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = caller
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return caller

    def _forget(self, key: str) -> None:
        with self._lock:
            self._known.pop(key, None)

    def _lately(self, key: str, address: str) -> Caller:
        """While the database is away, who was let in before may look on, and change nothing.

        Raises RecordsError for others.
        """
        with self._lock:
            known = self._known.get(key)
        if known is None:
            raise RecordsError(
                "who calls can't be looked up: the database can't be used",
                fix="check that the database runs",
            )
        scopes = None if known.scopes is None else known.scopes & {"read"}
        return replace(known, role="viewer", scopes=scopes, address=address)


def open_access(
    database: Database,
    clock: Clock,
    *,
    token: str | None = None,
    local: bool = True,
    passwords: Passwords | None = None,
    idle_s: float = 4 * HOUR_S,
    absolute_s: float = 16 * HOUR_S,
) -> Access:
    """All that looks at callers, over one database; `token` and `local` as in Access."""
    audit = AuditLog(database, clock)

    def tell(subject: Subject, count: int) -> None:
        """Guesses are in the audit log, too: now and then, so that nobody can fill it."""
        nobody = Caller("", None, means="nothing")
        what = "token guessed" if subject.kind == "token" else "sign in failed"
        facts = {"by": subject.kind, "count": count}
        try:
            audit.record(nobody.did(what, subject.name, None, facts))
        except RecordsError as error:
            log.warning("not_audited", what=what, error=str(error))

    accounts = Accounts(database, audit, clock, passwords or Passwords())
    return Access(
        accounts,
        Sessions(database, audit, clock, idle_s=idle_s, absolute_s=absolute_s),
        Tokens(database, audit, clock),
        audit,
        links=PasswordLinks(database, audit, clock),
        identities=Identities(database, accounts, clock),
        throttle=GuessThrottle(clock, tell),
        token=token,
        local=local,
    )


def _configured(address: str) -> Caller:
    """Who shows the configuration's token: it is nobody's own, and good for everything."""
    return Caller(CONFIGURED, "admin", means="configured token", address=address)


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
