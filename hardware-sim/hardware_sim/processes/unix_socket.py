"""Requests and replies between processes of one machine, over a Unix socket.

A frame is the header's and the body's length (big-endian uint32 each), a msgpack header, and the
body, which most messages lack. Lengths are checked before anything is read.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from shared.errors import ProcessError, SettingsError, SplitsightError, WireError
from shared.log import get_logger

log = get_logger("socket")

MAX_HEADER = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
TIMEOUT_S = 5.0
# sockaddr_un has room for so many, and a final zero.
MAX_PATH = 107
_LENGTHS = struct.Struct(">II")
_FOREIGN = "check what else uses the socket, and that both sides have one version"


class SocketMessage(msgspec.Struct, frozen=True, tag=True, tag_field="kind"):
    """What every header has: its kind, by which it is told from others."""


class RequestRefused(SocketMessage, frozen=True):
    """What was asked for can't be done."""

    message: str
    fix: str


M = TypeVar("M")
A = TypeVar("A", bound=SocketMessage)
_encoder = msgspec.msgpack.Encoder()


def send(stream: socket.socket, message: SocketMessage, body: bytes | memoryview = b"") -> None:
    """Raises OSError where the other side is gone, WireError for what is too long to be read."""
    header = _encoder.encode(message)
    _require_lengths(len(header), len(body))
    stream.sendall(_LENGTHS.pack(len(header), len(body)) + header)
    if body:
        stream.sendall(body)


def receive(
    stream: socket.socket, decoder: msgspec.msgpack.Decoder[M]
) -> tuple[M, bytearray] | None:
    """The next message and its body; None where the other side has closed.

    Raises WireError for what is not a message, OSError for a connection that broke.
    """
    lengths = _read(stream, _LENGTHS.size)
    if lengths is None:
        return None
    in_header, in_body = _LENGTHS.unpack(lengths)
    _require_lengths(in_header, in_body)
    header, body = _read(stream, in_header), _read(stream, in_body)
    if header is None or body is None:
        return None
    try:
        return decoder.decode(header), body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"the header can't be read: {error}", fix=_FOREIGN) from error


def connect(path: Path, timeout_s: float = TIMEOUT_S) -> socket.socket:
    """Raises OSError where nobody listens."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout_s)
    try:
        stream.connect(str(path))
    except OSError:
        stream.close()
        raise
    return stream


def hang_up(stream: socket.socket) -> None:
    """End a connection that other threads use: those that wait for it wake up."""
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)


class SocketClient:
    """Asks whoever serves a path. Each request is a connection of its own: servers come and go."""

    def __init__(
        self, path: Path, replies: msgspec.msgpack.Decoder[M], *, server: str, fix: str
    ) -> None:
        """replies: RequestRefused is among them; server, fix: for errors, who should answer there
        and what to do where it does not
        """
        self._path = path
        self._replies = replies
        self._server = server
        self._fix = fix

    def ask(self, request: SocketMessage, wanted: type[A]) -> A:
        """The reply. Raises ProcessError where none comes or another kind of one, SettingsError
        for what is refused.
        """
        try:
            with connect(self._path) as stream:
                send(stream, request)
                heard = receive(stream, self._replies)
        except (OSError, WireError) as error:
            raise self._away(error) from error
        reply = None if heard is None else heard[0]
        if isinstance(reply, RequestRefused):
            raise SettingsError(reply.message, fix=reply.fix)
        if not isinstance(reply, wanted):
            raise self._away(f"{type(reply).__name__} came" if heard else "it has ended")
        return reply

    def _away(self, why: object) -> ProcessError:
        return ProcessError(
            f"{self._server} at {self._path} does not answer ({why})", fix=self._fix
        )


class SocketServer(Generic[M]):
    """Answers requests at a path, each connection on a thread of its own, until `close`."""

    def __init__(
        self,
        path: Path,
        requests: msgspec.msgpack.Decoder[M],
        answer: Callable[[M, socket.socket], SocketMessage | None],
        *,
        setting: str,
        takes_over: bool = False,
    ) -> None:
        """answer: what to reply; None: the connection was put to another use, which has ended; a
        SplitsightError refuses the request
        setting: where the path was given; takes_over: from another one that serves it

        Raises ProcessError where the socket can't be had.
        """
        self._path = path
        self._requests = requests
        self._answer = answer
        _require_free(path, setting, takes_over=takes_over)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if path.is_socket():
                path.unlink()
            self._listener.bind(str(path))
            self._listener.listen(16)
            self._inode = path.stat().st_ino
        except OSError as error:
            self._listener.close()
            raise ProcessError(
                f"the socket {path} can't be made ({error.strerror or error})",
                fix=f"give {setting} a path in a folder that is there and can be written",
            ) from error
        threading.Thread(target=self._accept, name="socket", daemon=True).start()

    def close(self) -> None:
        """Serve no more. May be called twice."""
        # Closing alone would leave a thread that waits in accept() where it is.
        hang_up(self._listener)
        self._listener.close()
        with contextlib.suppress(OSError):
            # Another server may have taken the path over.
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            stream.settimeout(TIMEOUT_S)
            serve = threading.Thread(target=self._serve, args=(stream,), daemon=True)
            serve.start()

    def _serve(self, stream: socket.socket) -> None:
        with stream, contextlib.suppress(OSError):
            try:
                while (heard := receive(stream, self._requests)) is not None:
                    try:
                        reply = self._answer(heard[0], stream)
                    except SplitsightError as error:
                        reply = RequestRefused(error.message, error.fix)
                    if reply is None:
                        return
                    send(stream, reply)
            except WireError as error:
                log.warning("request_unreadable", path=str(self._path), error=str(error))
                send(stream, RequestRefused(error.message, error.fix))


def _require_free(path: Path, setting: str, *, takes_over: bool) -> None:
    length = len(str(path).encode())
    if length > MAX_PATH:
        raise ProcessError(
            f"a socket's path of {length} B is too long, the system takes {MAX_PATH}: {path}",
            fix=f"give {setting} a shorter path",
        )
    if not takes_over and path.is_socket():
        # What a killed server left behind refuses connections.
        with contextlib.suppress(OSError), connect(path):
            raise ProcessError(
                f"another process already serves {path}", fix=f"end it, or give another {setting}"
            )


def _require_lengths(header: int, body: int) -> None:
    if header > MAX_HEADER or body > MAX_BODY:
        raise WireError(
            f"{header} B of header and {body} B of body; at most {MAX_HEADER} and {MAX_BODY}",
            fix=_FOREIGN,
        )


def _read(stream: socket.socket, length: int) -> bytearray | None:
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = stream.recv_into(view[filled:])
        if not count:
            return None
        filled += count
    return data
