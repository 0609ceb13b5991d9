"""Scripts, styles and pictures of the pages: compressed once, and fetched once.

A page names each with a mark of its content (`/static/live.js?v=5f0c…`), so a browser may keep it
for ever: another content has another address.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloud.web.http_cache import is_known
from cloud.web.http_compression import takes_gzip

MARK = 12
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file.

    mark     of its content: hex digits
    packed   gzip; None where that is not smaller
    """

    content: bytes
    kind: str
    mark: str
    packed: bytes | None


class Assets:
    """The files of a folder, kept in memory, as an ASGI app to be mounted below `root`."""

    def __init__(self, folder: Path, root: str) -> None:
        self._root = root.rstrip("/")
        self._files = {
            path.relative_to(folder).as_posix(): _asset(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where each is, by its address without the mark."""
        plain = {f"{self._root}/{name}": one.mark for name, one in self._files.items()}
        return {path: f"{path}?v={mark}" for path, mark in plain.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(405)
        path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        found = self._files.get(path)
        if found is None:
            raise HTTPException(404)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("v", [""])[0]
        await _answer(found, given, Headers(scope=scope))(scope, receive, send)


def _answer(found: Asset, given: str, headers: Headers) -> Response:
    """given   the mark in the address: of a page of another release it may be another one"""
    packs = found.packed is not None and takes_gzip(headers)
    mark = f'"{found.mark}{"-gzip" if packs else ""}"'
    told = {
        "etag": mark,
        "vary": "Accept-Encoding",
        "cache-control": FOR_EVER if given == found.mark else "no-cache",
    }
    if is_known(mark, headers.get("if-none-match", "")):
        return Response(status_code=304, headers=told)
    if packs:
        told["content-encoding"] = "gzip"
    return Response(found.packed if packs else found.content, headers=told, media_type=found.kind)


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "text/plain"
    # Without a time in its head: every worker packs the same.
    packed = gzip.compress(content, 9, mtime=0)
    mark = hashlib.sha256(content).hexdigest()[:MARK]
    return Asset(content, kind, mark, packed if len(packed) < 0.9 * len(content) else None)
