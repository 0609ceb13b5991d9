"""Silent neighbours of a server, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from shared.loopback import bind
from shared.web.http_admission import HANDSHAKE_S, AdmittingLoop, RequestLimits
from shared.web.http_worker import HttpWorker
from shared.worker import DeadWorkers
from tests.support.waiting import wait_until

LONG_S = 600.0


async def app(scope: dict[str, object], receive: Callable, send: Callable) -> None:  # type: ignore[type-arg]
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{len(body)} B")(scope, receive, send)


@contextmanager
def serving(limits: RequestLimits) -> Iterator[int]:
    config = uvicorn.Config(app, ws="none", log_config=None, access_log=False, lifespan="off")
    dead = DeadWorkers()
    worker = HttpWorker("http", config, bind("127.0.0.1", 0, setting="x"), dead, limits=limits)
    worker.start()
    yield worker.port
    worker.stop()
    assert dead.problems == []


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def asks(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/", timeout=10).text == "0 B"


def test_hundreds_of_silent_connections_keep_nobody_out_behind_the_same_address() -> None:
    limits = RequestLimits(head_s=LONG_S, per_address=20, most=50)
    with serving(limits) as port, ExitStack() as closing:
        silent = [closing.enter_context(connect(port)) for _ in range(300)]
        # Each of those that ask is a newcomer too, for a moment.
        assert all(asks(port) for _ in range(5))
        wait_until(lambda: sum(map(is_closed, silent)) >= 280, "the oldest are shed")
        assert not any(map(is_closed, silent[-15:]))


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\n", b"\x16\x03\x01"],
    ids=["nothing", "half a line", "half a head", "TLS"],
)
def test_who_asks_nothing_in_time_is_let_go(sent: bytes) -> None:
    with serving(RequestLimits(head_s=0.2, body_s=LONG_S)) as port:
        sock = connect(port)
        sock.sendall(sent)
        wait_until(lambda: is_closed(sock) or sock.fileno() < 0, "it is closed")
        assert asks(port)
        sock.close()


def test_a_body_that_does_not_come_is_waited_for_only_so_long() -> None:
    with serving(RequestLimits(head_s=LONG_S, body_s=0.2)) as port:
        sock = connect(port)
        sock.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc")
        wait_until(lambda: is_closed(sock), "it is closed")
        sock.close()


def test_a_second_request_that_comes_in_drops_has_its_limit_too() -> None:
    with serving(RequestLimits(head_s=0.3)) as port:
        sock = connect(port)
        sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        sock.sendall(b"GET / HT")
        wait_until(lambda: is_closed(sock), "it is closed")
        sock.close()


def test_a_handshake_that_does_not_come_is_waited_for_only_so_long() -> None:
    loop = AdmittingLoop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = loop.run_until_complete(
        loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
    )
    assert server._ssl_handshake_timeout == HANDSHAKE_S  # type: ignore[attr-defined]
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()
