"""Answers that the caller has already: `ETag`, `If-None-Match` and 304."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.web.api_version import API


class CachedAnswers:
    """Marks what the API answers to GET by its content, so that a caller who asks again and again
    is sent only what is new.

    Pages say `no-store`, and streams have no end: neither is marked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        marked = (
            scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith(API)
        )
        if marked:
            known = Headers(scope=scope).get("if-none-match", "")
            await self._app(scope, receive, _MarkedAnswer(send, known))
        else:
            await self._app(scope, receive, send)


class _MarkedAnswer:
    def __init__(self, send: Send, known: str) -> None:
        self._send = send
        self._known = known
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            cached = Headers(raw=message["headers"]).get("cache-control", "")
            if message["status"] == 200 and "no-store" not in cached:
                self._start = message
            else:
                await self._send(message)
        elif message["type"] == "http.response.body" and self._start is not None:
            start, self._start = self._start, None
            if message.get("more_body", False):
                await self._send(start)
                await self._send(message)
            else:
                await self._whole(start, message)
        else:
            await self._send(message)

    async def _whole(self, start: Message, message: Message) -> None:
        # Weak: what goes out may be compressed on its way.
        mark = f'W/"{hashlib.sha256(message.get("body", b"")).hexdigest()[:32]}"'
        headers = MutableHeaders(raw=list(start["headers"]))
        headers.setdefault("etag", mark)
        headers.setdefault("cache-control", "private, no-cache")
        if is_known(headers["etag"], self._known):
            for name in ("content-length", "content-type"):
                del headers[name]
            await self._send({**start, "status": 304, "headers": headers.raw})
            await self._send({**message, "body": b""})
        else:
            await self._send({**start, "headers": headers.raw})
            await self._send(message)


def is_known(mark: str, known: str) -> bool:
    """Whether an `If-None-Match` names this `ETag`, strong or weak."""
    wanted = mark.removeprefix("W/")
    given = [one.strip().removeprefix("W/") for one in known.split(",")]
    return "*" in given or wanted in given
