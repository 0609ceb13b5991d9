"""Below a path of its own, behind a reverse proxy.

The app and every plugged-in page write addresses from `/` on. Those that leave for a browser get
the path before them here, in one place; those that come lose it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
# Values are escaped, so that no text of a page looks like an attribute.
ADDRESSES = re.compile(rb'(\s(?:href|src|action|hx-get|hx-post|sse-connect)=")/(?!/)')
PAGES = ("text/html", "text/event-stream")
LED_TO = ("location", "hx-redirect")


class PrefixedApp:
    """Below the path that the request's `X-Forwarded-Prefix` says, or else below `root`.

    What is inside knows of no path. Whoever may not say a path is stripped of it before: see
    `cloud.web.proxy`.
    """

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (prefix := self._prefix(scope)):
            await self._app(_without(scope, prefix), receive, _PrefixedAnswer(send, prefix))
        else:
            await self._app(scope, receive, send)

    def _prefix(self, scope: Scope) -> str:
        # Of several proxies the first, which the caller has called.
        said = Headers(scope=scope).get("x-forwarded-prefix", "").partition(",")[0]
        said = said.strip().rstrip("/")
        return said if said and PREFIX.fullmatch(said) else self._root


class _PrefixedAnswer:
    """Sends an answer on with the prefix before each address of ours."""

    def __init__(self, send: Send, prefix: str) -> None:
        self._send = send
        self._prefix = prefix
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body" and self._start is not None:
            await self._page(message)
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        headers = MutableHeaders(raw=list(message["headers"]))
        for name in LED_TO:
            if headers.get(name, "").startswith("/") and not headers[name].startswith("//"):
                headers[name] = self._prefix + headers[name]
        cookies = [
            (key, value.replace(b"Path=/;", f"Path={self._prefix};".encode()))
            if key == b"set-cookie"
            else (key, value)
            for key, value in headers.raw
        ]
        message = {**message, "headers": cookies}
        if headers.get("content-type", "").startswith(PAGES):
            # Its length is known with its first piece only.
            self._start = message
        else:
            await self._send(message)

    async def _page(self, message: Message) -> None:
        body = ADDRESSES.sub(rb"\1" + self._prefix.encode() + b"/", message.get("body", b""))
        start, whole = self._start, not message.get("more_body", False)
        if start is not None and "sent" not in start:
            headers = MutableHeaders(raw=list(start["headers"]))
            if "content-length" in headers:
                del headers["content-length"]
                if whole:
                    headers["content-length"] = str(len(body))
            await self._send({**start, "headers": headers.raw})
            self._start = {"sent": True}
        await self._send({**message, "body": body})


def _without(scope: Scope, prefix: str) -> Scope:
    """The request as if there was no prefix, which the proxy may have taken off already."""
    headers = MutableHeaders(raw=list(scope["headers"]))
    page = urlsplit(headers.get("hx-current-url", ""))
    if page.path.startswith(f"{prefix}/"):
        headers["hx-current-url"] = urlunsplit(page._replace(path=page.path.removeprefix(prefix)))
    inside = {**scope, "headers": headers.raw}
    path = scope["path"]
    if path == prefix or path.startswith(f"{prefix}/"):
        inside["path"] = path.removeprefix(prefix) or "/"
        raw = scope.get("raw_path") or b""
        inside["raw_path"] = raw.removeprefix(prefix.encode()) or b"/"
    return inside
