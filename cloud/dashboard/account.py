"""What everybody sees of their own account: password, sessions, tokens, what they did."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cloud.accounts.access import COOKIE, Access
from cloud.accounts.audit import AuditFilter
from cloud.accounts.sessions import key_of
from cloud.dashboard.form import Fields, obey
from cloud.dashboard.live import TEMPLATES
from cloud.web.pages import RecordsContext
from shared.errors import AccountError, SplitsightError
from shared.plugins.pages import Page
from shared.web.access import Caller, visit_of
from shared.web.roles import OWN_ENTRY, needs

HOME = "/me"
MOST_ENTRIES = 20


def own_page(access: Access) -> Page[RecordsContext]:
    """For whoever is signed in, about themselves."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        def page(
            caller: Caller, cookie: str, error: SplitsightError | None = None, told: str = ""
        ) -> Response:
            name = caller.name
            person = caller.proven
            return context.render(
                "me.html",
                409 if error else 200,
                person=access.accounts.get(name) if person else None,
                sessions=access.sessions.of(name) if person else [],
                here=key_of(cookie),
                tokens=access.tokens.all(name) if person else [],
                issuers=access.identities.of(name) if person else [],
                entries=access.audit.search(AuditFilter(who=name), MOST_ENTRIES),
                error=error,
                told=told,
                now=context.clock.utc(),
            )

        @routes.get("")
        def shown(request: Request) -> Response:
            return page(visit_of(request).caller, request.cookies.get(COOKIE, ""))

        @routes.post("", dependencies=[needs("viewer", "admin", OWN_ENTRY)])
        async def change(request: Request) -> Response:
            cookie = request.cookies.get(COOKIE, "")

            def act(fields: Fields, by: Caller) -> Response | None:
                return _change(access, fields, by, cookie)

            def again(error: SplitsightError, _fields: Fields) -> Response:
                return page(visit_of(request).caller, cookie, error)

            return await obey(request, act, again, HOME)

        return routes

    return Page("You", HOME, TEMPLATES, routes_with, changes=None, listed=False)


def _change(access: Access, fields: Fields, by: Caller, cookie: str) -> Response | None:
    if by.means != "session":
        raise AccountError("this is nobody's account", fix="sign in with an account of your own")
    match fields.get("do", ""):
        case "password":
            new = fields.get("new", "")
            if new != fields.get("again", ""):
                raise AccountError("the new passwords are not the same", fix="type them again")
            access.accounts.change_own_password(by.name, fields.get("old", ""), new, by)
        case "end":
            access.sessions.revoke(fields.get("session", ""), by.name, by)
        case "end others":
            access.sessions.revoke_others(by.name, cookie, by)
        case "end token":
            token = fields.get("token", "")
            if token not in {one.id for one in access.tokens.all(by.name)}:
                raise AccountError(f"{token[:20]!r} is none of your tokens", fix="see the list")
            access.tokens.revoke(token, by)
        case _:
            raise AccountError("the form says nothing to do", fix="use the page's buttons")
    return None
