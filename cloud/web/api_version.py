"""The API's version in its addresses.

Routes, the cloud's own and those that are plugged in, are written below `/api`. Callers find them
below `/api/v1`; below `/api` too for this release, with a header that says so.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/api/"
VERSION = "v1"
VERSIONED = f"{API}{VERSION}/"
# RFC 9745: since when nobody should call it so any more.
SINCE = f"@{int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())}"


class VersionedApi:
    """Answers `/api/v1/...`, and `/api/...` as before with the header `Deprecation`.

    What is inside sees `/api/...`, and what was asked for as `asked_path` of the scope.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(API):
            await self._app(scope, receive, send)
            return
        inside = {**scope, "asked_path": path}
        if path.startswith(VERSIONED):
            inside["path"] = API + path.removeprefix(VERSIONED)
            raw = scope.get("raw_path") or path.encode()
            inside["raw_path"] = raw.replace(VERSIONED.encode(), API.encode(), 1)
            await self._app(inside, receive, send)
        else:
            await self._app(inside, receive, _deprecated(path, send))


def versioned(path: str) -> str:
    """The address under which callers find a route."""
    return VERSIONED + path.removeprefix(API) if path.startswith(API) else path


def _deprecated(path: str, send: Send) -> Send:
    below = path.removeprefix(API)
    # From where it was asked: below which path a proxy serves us, nobody knows here.
    successor = "../" * below.count("/") + f"{VERSION}/{below}"

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["deprecation"] = SINCE
            if successor.isascii() and successor.isprintable() and ">" not in successor:
                headers.append("link", f'<{successor}>; rel="successor-version"')
        await send(message)

    return told
