"""Payloads from the gateway, by ranges: a download goes on where it was cut off."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import urllib3
from urllib3.exceptions import HTTPError

from edge.updates.base import Unreachable
from edge.updates.transfer.fetch import CHUNK, TOTAL_S
from shared.errors import UpdateError

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
GONE = (404, 410)


class HttpSource:
    """`Source` over HTTP. What comes is not believed here: its sha256 is checked on the disk."""

    def __init__(
        self,
        pool: urllib3.PoolManager,
        *,
        total_s: float = TOTAL_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """total_s: for one piece; what has come by then is kept

        monotonic   seconds on a clock that never jumps
        """
        self._pool = pool
        self._total_s = total_s
        self._monotonic = monotonic

    def read(self, url: str, offset: int, length: int) -> bytes:
        headers = {
            "Range": f"bytes={offset}-{offset + length - 1}",
            "Accept-Encoding": "identity",
        }
        try:
            answer = self._pool.request("GET", url, headers=headers, preload_content=False)
        except HTTPError as error:
            raise Unreachable(f"{url} can't be read ({error})", fix=_LATER) from error
        try:
            self._require(url, offset, answer)
            return self._content(url, answer, length)
        finally:
            answer.release_conn()

    def _require(self, url: str, offset: int, answer: urllib3.BaseHTTPResponse) -> None:
        if answer.status == 200 and offset == 0:
            # A host without ranges: its first bytes are the same.
            return
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status == 206 and found and int(found[1]) == offset:
            return
        answer.close()
        if answer.status in {200, 206}:
            raise UpdateError(
                f"{url} answers with another range than was asked for",
                fix="serve releases from a host that knows HTTP ranges",
            )
        if answer.status in GONE:
            raise UpdateError(f"{url} is not there", fix="publish the release again")
        raise Unreachable(f"{url} answered {answer.status}", fix=_LATER)

    def _content(self, url: str, answer: urllib3.BaseHTTPResponse, length: int) -> bytes:
        pieces: list[bytes] = []
        left, until = length, self._monotonic() + self._total_s
        try:
            # `read` would wait for all of it, and a byte now and then runs into no limit of one.
            while left > 0 and (piece := answer.read1(min(left, CHUNK), decode_content=False)):
                pieces.append(piece)
                left -= len(piece)
                if self._monotonic() > until:
                    break
        except HTTPError as error:
            if not pieces:
                raise Unreachable(f"{url} broke off ({error})", fix=_LATER) from error
        if answer.status == 200 or left:
            # Whatever follows is not wanted, and must not be taken for the next answer.
            answer.close()
        return b"".join(pieces)[:length]


_LATER = "it is tried again later"
