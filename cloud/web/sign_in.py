"""Signing in and out, and the page of the first account."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.accounts.access import COOKIE, Access, address_of
from cloud.accounts.first_account import PATH as FIRST_ACCOUNT
from cloud.accounts.first_account import FirstAccount
from cloud.accounts.oidc import OidcProvider
from cloud.accounts.password_links import PATH as PASSWORD
from cloud.accounts.sessions import key_of
from cloud.web.admission import SIGN_IN
from shared.errors import AccountError, TooManyGuesses
from shared.plugins.pages import PageContext
from shared.web.access import Caller, visit_of
from shared.web.forms import form_fields
from shared.web.roles import OWN_ENTRY, needs

SIGN_OUT = "/sign-out"
# Longer than a session: the browser is known again, and waits for no stranger's guesses.
REMEMBERED_S = 90 * 86_400
# Guesses wait for each other here, and hold up none of the threads that answer everybody else.
AT_ONCE = 4

T = TypeVar("T")


class SignInPages:
    """The pages that one sees before one is known, and the way out."""

    def __init__(
        self,
        context: PageContext,
        access: Access,
        first: FirstAccount,
        provider: OidcProvider | None = None,
    ) -> None:
        """provider: where people can sign in instead; None: nowhere"""
        self._render = context.render
        self._provider = provider
        self._access = access
        self._first = first
        self._turns: anyio.CapacityLimiter | None = None

    def routes(self) -> APIRouter:
        routes = APIRouter(include_in_schema=False)
        routes.get(SIGN_IN, dependencies=[needs(None)])(self.form)
        routes.post(SIGN_IN, dependencies=[needs(None, what=OWN_ENTRY)])(self.sign_in)
        routes.post(SIGN_OUT, dependencies=[needs("viewer", what=OWN_ENTRY)])(self.sign_out)
        first = f"{FIRST_ACCOUNT}/{{secret}}"
        routes.get(first, dependencies=[needs(None)])(self.first_form)
        routes.post(first, dependencies=[needs(None, what=OWN_ENTRY)])(self.make_first)
        choice = f"{PASSWORD}/{{secret}}"
        routes.get(choice, dependencies=[needs(None)])(self.password_form)
        routes.post(choice, dependencies=[needs(None, what=OWN_ENTRY)])(self.choose_password)
        return routes

    def form(self, to: str = "/", out: str = "") -> Response:
        """out: somebody has just signed out"""
        return self._form(to, out=bool(out))

    def refused(self, to: str, wrong: str, status: int) -> Response:
        """The same, for who could not sign in elsewhere."""
        return self._form(to, wrong=wrong, status=status)

    async def sign_in(self, request: Request, to: str = "/") -> Response:
        fields = await form_fields(request)
        name = fields.get("name", "").strip()
        # `token`: what the form of the release before sent.
        password = fields.get("password", "") or fields.get("token", "").strip()
        try:
            _, cookie = await self._slowly(lambda: self._access.sign_in(name, password, request))
        except TooManyGuesses as error:
            refused = self._form(to, name, str(error), 429)
            refused.headers["retry-after"] = str(error.wait_s)
            return refused
        except AccountError as error:
            return self._form(to, name, str(error), 401)
        return welcome(request, local(to), cookie)

    async def sign_out(self, request: Request) -> Response:
        cookie, caller = request.cookies.get(COOKIE, ""), visit_of(request).caller
        await run_in_threadpool(self._access.sessions.close, cookie, caller)
        # The cookie stays: it opens nothing any more, and tells that somebody has been here.
        # Who signed in elsewhere is told that they may still be so there.
        told = "?out=yes" if self._provider else ""
        return RedirectResponse(f"{SIGN_IN}{told}", status_code=303)

    def first_form(self, secret: str) -> Response:
        works = self._first.accepts(secret) and not self._access.accounts.any
        status = 200 if works else 404
        return self._render("first_account.html", status, works=works, name="", wrong="")

    async def make_first(self, request: Request, secret: str) -> Response:
        fields = await form_fields(request)
        name = fields.get("name", "").strip().casefold()
        password = fields.get("password", "")
        caller = Caller(name, "admin", means="nothing", address=address_of(request))

        def make() -> str:
            self._access.accounts.add_first(key_of(secret), name, password, caller)
            self._first.withdraw()
            return self._access.sign_in(name, password, request)[1]

        try:
            cookie = await self._slowly(make)
        except AccountError as error:
            works = await run_in_threadpool(self._first.accepts, secret)
            return self._render("first_account.html", 422, works=works, name=name, wrong=str(error))
        return welcome(request, "/", cookie)

    def password_form(self, secret: str) -> Response:
        account = self._access.links.account_of(secret)
        return self._render("password.html", 200 if account else 404, account=account, wrong="")

    async def choose_password(self, request: Request, secret: str) -> Response:
        fields = await form_fields(request)
        password, address = fields.get("password", ""), address_of(request)

        def choose() -> str:
            name = self._access.accounts.choose_password(key_of(secret), password, address)
            return self._access.sign_in(name, password, request)[1]

        try:
            cookie = await self._slowly(choose)
        except AccountError as error:
            account = await run_in_threadpool(self._access.links.account_of, secret)
            status = 422 if account else 404
            return self._render("password.html", status, account=account, wrong=str(error))
        return welcome(request, "/", cookie)

    def _form(
        self, to: str, name: str = "", wrong: str = "", status: int = 200, *, out: bool = False
    ) -> Response:
        provider = self._provider
        return self._render(
            "sign_in.html",
            status,
            to=local(to),
            name=name,
            wrong=wrong,
            takes_token=self._access.takes_token,
            elsewhere=provider.settings.shown if provider else "",
            out=out,
            way_out=provider.way_out() if provider and out else "",
        )

    async def _slowly(self, what: Callable[[], T]) -> T:
        if self._turns is None:
            self._turns = anyio.CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(what, limiter=self._turns)


def local(path: str) -> str:
    """The path, or `/` where it would lead to another site."""
    leads_away = not path.startswith("/") or path.startswith(("//", "/\\"))
    return "/" if leads_away else path


def welcome(request: Request, to: str, cookie: str) -> Response:
    """On to where they wanted, known from here on."""
    response = RedirectResponse(to, status_code=303)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=REMEMBERED_S,
        httponly=True,
        # A link in a colleague's message finds who is signed in; whatever changes something
        # is looked at for where it comes from.
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response
