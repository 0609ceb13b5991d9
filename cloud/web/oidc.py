"""Signing in elsewhere: the way to the provider, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, unquote

import anyio
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.accounts.access import Access, address_of
from cloud.accounts.first_account import FirstAccount
from cloud.accounts.oidc import BACK, OidcProvider, SignInAttempt
from cloud.accounts.oidc_person import no_role, person_of
from cloud.web.admission import SIGN_IN
from cloud.web.route_table import ANY_QUERY
from cloud.web.sign_in import SignInPages, local, welcome
from shared.errors import AccountError
from shared.plugins.pages import PageContext
from shared.web.access import Caller
from shared.web.roles import OWN_ENTRY, needs

THERE = f"{SIGN_IN}/oidc"
COOKIE = "splitsight-sign-in"
GOOD_S = 600
# A provider that hangs holds up who signs in there, and not who has a password.
AT_ONCE = 4
LONGEST = 2048

T = TypeVar("T")
Refused = Callable[[str, str, int], Response]


class OidcPages:
    """refused   the sign-in page, with where to go on to and what is wrong"""

    def __init__(self, access: Access, provider: OidcProvider, refused: Refused) -> None:
        self._access = access
        self._provider = provider
        self._refused = refused
        self._turns: anyio.CapacityLimiter | None = None

    def routes(self) -> APIRouter:
        routes = APIRouter(include_in_schema=False)
        routes.get(THERE, dependencies=[needs(None)])(self.leave)
        back = [needs(None, what=OWN_ENTRY)]
        routes.get(BACK, dependencies=back, openapi_extra=ANY_QUERY)(self.come_back)
        return routes

    async def leave(self, request: Request, to: str = "/") -> Response:
        attempt = SignInAttempt.new()
        try:
            address = await self._slowly(lambda: self._provider.way_there(attempt))
        except AccountError as error:
            return self._refused(to, str(error), 502)
        answer = RedirectResponse(address, status_code=303)
        answer.set_cookie(
            COOKIE,
            f"{attempt.secret}.{quote(local(to)[:LONGEST], safe='')}",
            max_age=GOOD_S,
            httponly=True,
            # It must come along when the provider sends the browser back.
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer

    async def come_back(self, request: Request) -> Response:
        secret, _, where = request.cookies.get(COOKIE, "").partition(".")
        to = local(unquote(where) or "/")
        try:
            cookie = await self._slowly(lambda: self._admitted(secret, request))
            answer = welcome(request, to, cookie)
        except AccountError as error:
            answer = self._refused(to, str(error), 401)
        # Once, whatever came of it.
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return answer

    def _admitted(self, secret: str, request: Request) -> str:
        query = request.query_params
        attempt, settings = SignInAttempt(secret), self._provider.settings
        if not secret or not attempt.began(query.get("state", "")):
            raise AccountError(
                "this is not the end of a sign-in that began in this browser",
                fix="begin again; it may not take longer than ten minutes",
            )
        if query.get("iss", settings.issuer) != settings.issuer:
            raise AccountError("another provider answered", fix="begin again")
        if "error" in query or not query.get("code"):
            why = query.get("error", "no code came")[:100]
            raise AccountError(f"{settings.shown} did not sign you in: {why}", fix="begin again")
        claims = self._provider.vouched(query["code"][:LONGEST], attempt)
        person, address = person_of(claims, settings), address_of(request)
        by = Caller(person.name, None, means="nothing", address=address)
        if person.role is None:
            self._access.dismiss(settings.issuer, person, by)
            raise no_role(person, settings)
        return self._access.admit(settings.issuer, person, by)

    async def _slowly(self, what: Callable[[], T]) -> T:
        if self._turns is None:
            self._turns = anyio.CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(what, limiter=self._turns)


def sign_in_routes(
    context: PageContext, access: Access, first: FirstAccount, provider: OidcProvider | None
) -> APIRouter:
    """Every way in: by password, by the links that make one, and at a provider where one is set."""
    pages, routes = SignInPages(context, access, first, provider), APIRouter()
    routes.include_router(pages.routes())
    if provider is not None:
        routes.include_router(OidcPages(access, provider, pages.refused).routes())
    return routes
