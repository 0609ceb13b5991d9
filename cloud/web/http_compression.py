"""Answers compressed on their way out, where that gives nothing away.

The length of a compressed answer tells a little about what is in it. Another site that has a
browser ask for our pages, with words of its own in the address, could find out piece by piece what
stands beside them (BREACH). So what a browser fetches for another site's page is not compressed,
nor what a form is answered, and a stream of events never is.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("text/", "application/json", "application/problem+json", "image/svg+xml")
STREAM = "text/event-stream"
OURS = frozenset({"same-origin", "none"})
SMALLEST = 600
# From here on, other requests would wait for it.
LARGE = 64 * 1024
LEVEL = 6
GZIP = 16 + zlib.MAX_WBITS


class CompressedApp:
    """Compresses what an app answers, with gzip: every browser and program reads it, and nothing
    more has to be installed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and may_compress(scope):
            await self._app(scope, receive, _CompressedAnswer(send))
        else:
            await self._app(scope, receive, send)


def may_compress(scope: Scope) -> bool:
    """Whether the caller takes it, and has not been made to ask by somebody else."""
    headers = Headers(scope=scope)
    if scope["method"] != "GET" or not takes_gzip(headers):
        return False
    asked_by = headers.get("sec-fetch-site")
    if asked_by is not None:
        return asked_by in OURS
    # Browsers say it wherever nobody can read along anyway; a program brings no cookie.
    return scope.get("scheme") != "https" or "cookie" not in headers


def takes_gzip(headers: Headers) -> bool:
    """Whether the caller reads gzip."""
    for one in headers.get("accept-encoding", "").split(","):
        name, _, weight = one.partition(";")
        if name.strip().lower() in {"gzip", "*"}:
            return not weight.replace(" ", "").startswith(("q=0;", "q=0.0")) and (
                weight.replace(" ", "") != "q=0"
            )
    return False


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self, mode: int = ..., /) -> bytes: ...


class _CompressedAnswer:
    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._packer: _Packer | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _packs(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            start, self._start = self._start, None
            await self._begin(start, message)
        elif message["type"] == "http.response.body" and self._packer is not None:
            await self._send({**message, "body": await self._pack(message)})
        else:
            await self._send(message)

    async def _begin(self, start: Message, message: Message) -> None:
        headers = MutableHeaders(raw=list(start["headers"]))
        headers.add_vary_header("Accept-Encoding")
        whole = not message.get("more_body", False)
        body = message.get("body", b"")
        if not whole or len(body) >= SMALLEST:
            self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
            body = await self._pack(message)
            if not whole:
                # What is there at once can be read at once, and does not wait in the packer.
                body += self._packer.flush(zlib.Z_SYNC_FLUSH)
            headers["content-encoding"] = "gzip"
            del headers["content-length"]
            if whole:
                headers["content-length"] = str(len(body))
        await self._send({**start, "headers": headers.raw})
        await self._send({**message, "body": body})

    async def _pack(self, message: Message) -> bytes:
        packer, body = self._packer, message.get("body", b"")
        assert packer is not None  # noqa: S101 - narrows the type
        if len(body) > LARGE:
            packed = await run_in_threadpool(packer.compress, body)
        else:
            packed = packer.compress(body)
        return packed if message.get("more_body", False) else packed + packer.flush()


def _packs(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "")
    return (
        start["status"] == 200
        and kind.startswith(KINDS)
        and not kind.startswith(STREAM)
        and "content-encoding" not in headers
    )
