"""Who may sign in, and what they may do: for admins."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from cloud.accounts.access import Access
from cloud.accounts.password_links import GOOD_S, PATH
from cloud.dashboard.form import Fields, obey
from cloud.dashboard.live import TEMPLATES
from cloud.dashboard.tokens import add_tokens
from cloud.web.pages import RecordsContext
from shared.errors import AccountError, SplitsightError
from shared.plugins.pages import Page
from shared.web.access import ROLES, Caller, Role
from shared.web.roles import OWN_ENTRY, needs

HOME = "/people"
Name = Annotated[str, Path(max_length=63)]
ADMIN = [needs("admin", "admin", OWN_ENTRY)]
MAY: dict[Role, str] = {
    "viewer": "sees everything but accounts and the audit log",
    "inspector": "labels parts, too",
    "engineer": "starts and stops rollouts, sets boxes, admits and revokes them, too",
    "admin": "accounts, tokens and the audit log, too",
}


def people_page(access: Access) -> Page[RecordsContext]:
    """Accounts, their sessions and links, and tokens."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()
        PeoplePages(access, context).add_to(routes)
        add_tokens(routes, access, context)
        return routes

    return Page(
        "People", HOME, TEMPLATES, routes_with, role="admin", changes=None, group="House", order=10
    )


class PeoplePages:
    """The list of all, and a page each."""

    def __init__(self, access: Access, context: RecordsContext) -> None:
        self._access = access
        self._render = context.render

    def add_to(self, routes: APIRouter) -> None:
        routes.get("")(self.all)
        routes.post("", dependencies=ADMIN)(self.add)
        routes.get("/accounts/{name}")(self.one)
        routes.post("/accounts/{name}", dependencies=ADMIN)(self.change)

    def all(self) -> Response:
        return self._all({})

    async def add(self, request: Request) -> Response:
        def again(error: SplitsightError, fields: Fields) -> Response:
            return self._all(fields, error)

        return await obey(request, self._add, again, HOME)

    def one(self, name: Name) -> Response:
        try:
            return self._one(name)
        except AccountError as error:
            return self._all({}, error, 404)

    async def change(self, request: Request, name: Name) -> Response:
        def act(fields: Fields, by: Caller) -> Response | None:
            return self._change(name, fields, by)

        def again(error: SplitsightError, _fields: Fields) -> Response:
            try:
                return self._one(name, error)
            except AccountError as missing:
                return self._all({}, missing, 404)

        return await obey(request, act, again, f"{HOME}/accounts/{name}")

    def _add(self, fields: Fields, by: Caller) -> Response:
        name = fields.get("name", "").strip().casefold()
        self._access.accounts.invite(name, _role(fields), by)
        # Shown with this answer only: nobody can look it up again.
        return self._one(name, link=self._access.links.offer(name, by), new=True)

    def _change(self, name: str, fields: Fields, by: Caller) -> Response | None:
        accounts, sessions = self._access.accounts, self._access.sessions
        match fields.get("do", ""):
            case "role":
                accounts.set_role(name, _role(fields), by)
            case "disable":
                accounts.disable(name, by)
            case "enable":
                accounts.disable(name, by, disabled=False)
            case "link":
                return self._one(name, link=self._access.links.offer(name, by))
            case "end":
                sessions.revoke(fields.get("session", ""), name, by)
            case "end all":
                sessions.revoke_all(name, by)
            case _:
                raise AccountError("the form says nothing to do", fix="use the page's buttons")
        return None

    def _all(
        self, fields: Fields, error: SplitsightError | None = None, status: int = 409
    ) -> Response:
        return self._render(
            "people.html",
            status if error else 200,
            accounts=self._access.accounts.all(),
            roles=ROLES,
            may=MAY,
            fields=fields,
            error=error,
        )

    def _one(
        self, name: str, error: SplitsightError | None = None, *, link: str = "", new: bool = False
    ) -> Response:
        access = self._access
        facts: dict[str, Any] = {
            "account": access.accounts.get(name),
            "sessions": access.sessions.of(name),
            "tokens": access.tokens.all(name),
            "issuers": access.identities.of(name),
        }
        return self._render(
            "person.html",
            409 if error else 200,
            **facts,
            roles=ROLES,
            may=MAY,
            error=error,
            link=f"{PATH}/{link}" if link else "",
            good_h=GOOD_S / 3600,
            new=new,
        )


def _role(fields: Fields) -> Role:
    role = fields.get("role", "")
    if role not in ROLES:
        raise AccountError(f"{role[:40]!r} is no role", fix=f"choose {', '.join(ROLES)}")
    return role
