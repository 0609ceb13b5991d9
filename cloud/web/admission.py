"""Before any route: callers are looked at, strangers sent to sign in, foreign forms turned away."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.accounts.access import Access
from cloud.accounts.first_account import PATH as FIRST_ACCOUNT
from cloud.accounts.password_links import PATH as PASSWORD
from cloud.web.problems import problem, wait
from shared.errors import AccessRefused, RecordsError, TooManyGuesses
from shared.web.access import NOBODY, Visit, attend
from shared.web.forms import is_foreign
from shared.web.roles import SAFE

SIGN_IN = "/sign-in"
# Below them lies what callers need before anybody knows them.
WITH_LINKS = (SIGN_IN, FIRST_ACCOUNT, PASSWORD)
STATIC = "/static/"
# Sessions and being on this machine are what a browser brings along by itself.
BY_ITSELF = frozenset({"session", "configured token", "machine"})

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: without a referrer browsers call the origin of our own forms null.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class AccessMiddleware:
    """Turns away callers that nobody knows; sets security headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        visit = Visit(NOBODY, self._access.audit)
        try:
            visit = await self._visit(request)
            refusal = _refusal(request, visit)
        except TooManyGuesses as error:
            refusal = wait(error)
        except AccessRefused as error:
            refusal = problem(400, error.message, error.fix)
        except RecordsError as error:
            refusal = problem(503, error.message, error.fix)
        if refusal is not None:
            await refusal(scope, receive, send_secured)
        else:
            await attend(visit, self._app, scope, receive, send_secured)

    async def _visit(self, request: Request) -> Visit:
        stranger = Visit(NOBODY, self._access.audit)
        if request.url.path.startswith(STATIC):
            return stranger
        try:
            return await run_in_threadpool(self._access.visit, request)
        except (AccessRefused, TooManyGuesses):
            if is_public(request.url.path):
                return stranger
            raise


def is_public(path: str) -> bool:
    """What callers need before anybody knows them."""
    return path == SIGN_IN or path.startswith((STATIC, *(f"{one}/" for one in WITH_LINKS)))


def _refusal(request: Request, visit: Visit) -> Response | None:
    path, means = request.url.path, visit.caller.means
    if request.method not in SAFE and (is_public(path) or means in BY_ITSELF):
        signed_in = means in {"session", "configured token"} and not is_public(path)
        bearer = "authorization" in request.headers
        if not bearer and is_foreign(request, unsaid=signed_in):
            return problem(
                403,
                "this came from another site's page",
                "use the pages of this one; a program sends its token as `Authorization: Bearer`",
            )
    if visit.caller.role is not None or is_public(path):
        return None
    return _sent_to_sign_in(request)


def _sent_to_sign_in(request: Request) -> Response:
    """So that who was signed in comes back to where they were."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("hx-request") == "true":
        page = urlsplit(request.headers.get("hx-current-url", ""))
        back = (page.path or "/") + (f"?{page.query}" if page.query else "")
        answer = _unknown()
        answer.headers["hx-redirect"] = f"{SIGN_IN}?to={quote(back)}"
        return answer
    wants_page = "text/html" in request.headers.get("accept", "")
    if wants_page and not here.startswith("/api/") and request.method in SAFE:
        return RedirectResponse(f"{SIGN_IN}?to={quote(here)}", status_code=303)
    return _unknown()


def _unknown() -> JSONResponse:
    answer = problem(
        401,
        "this needs a token or a sign-in, and none or another one came",
        "make a token with `splitsight cloud token add` and send it as `Authorization: Bearer "
        "TOKEN`, or sign in",
    )
    answer.headers["www-authenticate"] = "Bearer"
    return answer
