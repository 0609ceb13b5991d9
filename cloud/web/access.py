"""Who may read: a bearer token for programs, a cookie from the sign-in page for people."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "splitsight"
SIGN_IN = "/sign-in"
STATIC = "/static/"
SESSION_S = 12 * 3600

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


class Access:
    """Checks callers against one token; without a token everyone on this machine may read."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    @property
    def required(self) -> bool:
        return self._token is not None

    def knows(self, token: str) -> bool:
        """Whether this is the token, in time that does not depend on where it differs."""
        return self._token is not None and _same(token, self._token)

    def allows(self, request: Request) -> bool:
        """Whether this caller may read."""
        path = request.url.path
        if self._token is None or path == SIGN_IN or path.startswith(STATIC):
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.knows(given.strip()):
            return True
        return _same(request.cookies.get(COOKIE, ""), self.session())

    def session(self) -> str:
        """What the cookie holds: proof of the token, not the token."""
        secret = (self._token or "").encode()
        return hmac.new(secret, b"splitsight dashboard", hashlib.sha256).hexdigest()

    def sign_in(self, response: Response, *, secure: bool) -> None:
        """Give the cookie."""
        response.set_cookie(
            COOKIE,
            self.session(),
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=secure,
        )


class AccessMiddleware:
    """Turns away callers that may not read; sets security headers on every answer."""

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
        app = self._app if self._access.allows(request) else _refusal(request)
        await app(scope, receive, send_secured)


def _refusal(request: Request) -> Response:
    wants_page = "text/html" in request.headers.get("accept", "")
    if wants_page and not request.url.path.startswith("/api/"):
        return RedirectResponse(f"{SIGN_IN}?to={quote(request.url.path)}", status_code=303)
    return JSONResponse(
        {
            "error": "this needs a token, and none or another one came",
            "fix": "send `Authorization: Bearer TOKEN` with the token in api.token",
        },
        status_code=401,
        headers={"www-authenticate": "Bearer"},
    )


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
