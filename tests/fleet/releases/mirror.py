"""A static host on loopback: a folder's files, by ranges too, or what a test has instead."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Answer = Callable[[str], Iterator[bytes] | bytes | None]
"""Bytes to serve for a path; an iterator is sent without a length; None is 404."""


class Mirror:
    """asked: every path that was asked for, in order."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # With it a client that acknowledges late waits 40 ms for each body.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                mirror.serve(self)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "https" if tls else "http"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.lstrip("/")
        self.asked.append(path)
        body = self.answer(path)
        if body is None:
            request.send_error(404)
        elif isinstance(body, bytes):
            _send(request, body)
        else:
            request.send_response(200)
            request.send_header("Connection", "close")
            request.end_headers()
            request.close_connection = True
            try:
                for piece in body:
                    request.wfile.write(piece)
            except OSError:
                return


def _send(request: BaseHTTPRequestHandler, body: bytes) -> None:
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    part = body
    if wanted:
        first, last = int(wanted[1]), int(wanted[2] or len(body) - 1)
        part = body[first : last + 1]
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
    else:
        request.send_response(200)
    request.send_header("Content-Length", str(len(part)))
    request.end_headers()
    request.wfile.write(part)


def files_of(folder: Path) -> Answer:
    """What lies in a folder."""

    def answer(path: str) -> bytes | None:
        place = folder / unquote(path)
        return place.read_bytes() if place.is_file() else None

    return answer


@contextmanager
def mirror_of(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[Mirror]:
    mirror = Mirror(files_of(folder), tls)
    mirror.start()
    try:
        yield mirror
    finally:
        mirror.close()
