"""One selector for the sockets of many MQTT clients, instead of a thread for each."""

from __future__ import annotations

import selectors
import socket
import struct
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho

from hardware_sim.scale.schedule import Schedule
from shared.clock import Clock
from shared.transport.client import RECONNECT_S

# paho looks after its keep-alive only when it is asked to.
KEEPALIVE_CHECK_S = 1.0
# Where the kernel's `struct tcp_info` (linux/tcp.h) has tcpi_bytes_acked and _received.
_ACKED_AT = 120
_BYTES = struct.Struct("=QQ")


@dataclass(slots=True)
class _Connection:
    """How a client's connection is, and when it is tried again."""

    delay_s: float = RECONNECT_S[0]
    # Whether the socket did not take all that was to be written.
    blocked: bool = False


class SocketLoop:
    """A `ClientLoop` whose clients live on the thread that calls `step`.

    Connecting blocks for as long as the kernel needs for the handshake: use it near the broker.
    """

    def __init__(self, clock: Clock, schedule: Schedule) -> None:
        self._clock = clock
        self._schedule = schedule
        self._selector = selectors.DefaultSelector()
        self._connections: dict[paho.Client, _Connection] = {}
        self._writers: set[paho.Client] = set()
        self._bytes_before = 0
        self.reconnects = 0
        self._schedule.at(clock.monotonic() + KEEPALIVE_CHECK_S, self._keep_alive)

    def start(self, client: paho.Client) -> None:
        opened = client.on_socket_open

        def on_open(opener: paho.Client, data: Any, sock: Any) -> None:
            if opened is not None:
                opened(opener, data, sock)
            self._selector.register(sock, selectors.EVENT_READ, opener)

        client.on_socket_open = on_open
        client.on_socket_close = self._closed
        client.on_socket_register_write = self._has_to_write
        client.on_socket_unregister_write = self._has_written
        self._connections[client] = _Connection()
        self._schedule.at(self._clock.monotonic(), lambda _: self._connect(client))

    def stop(self, client: paho.Client) -> None:
        # Forgotten first: what closes from here on is not to be opened again.
        self._connections.pop(client, None)
        client.loop_write()
        self._writers.discard(client)

    def cut(self, client: paho.Client) -> None:
        """Let go of a client as a killed process does: its broker hears no goodbye."""
        self._connections.pop(client, None)
        self._writers.discard(client)
        sock: Any = client.socket()
        if sock is not None and sock.fileno() in self._selector.get_map():
            self._bytes_before += _carried(sock)
            self._selector.unregister(sock)
            sock.close()

    def step(self, timeout_s: float) -> None:
        """Read and write what is there to be, waiting `timeout_s` at most for something."""
        self._write()
        for key, events in self._selector.select(timeout_s):
            if events & selectors.EVENT_READ:
                key.data.loop_read()
            if events & selectors.EVENT_WRITE:
                key.data.loop_write()
        self._write()

    @property
    def bytes(self) -> int:
        """TCP payload that was carried so far, both ways and all clients together."""
        open_now = sum(_carried(key.fileobj) for key in self._selector.get_map().values())
        return self._bytes_before + open_now

    def close(self) -> None:
        self._selector.close()

    def _connect(self, client: paho.Client) -> None:
        if client not in self._connections:
            return
        try:
            client.reconnect()
        except OSError:
            self._connect_later(client)

    def _connect_later(self, client: paho.Client) -> None:
        connection = self._connections.get(client)
        if connection is None:
            return
        self.reconnects += 1
        now = self._clock.monotonic()
        self._schedule.at(now + connection.delay_s, lambda _: self._connect(client))
        connection.delay_s = min(2 * connection.delay_s, RECONNECT_S[1])

    def _closed(self, client: paho.Client, _data: Any, sock: Any) -> None:
        self._bytes_before += _carried(sock)
        self._selector.unregister(sock)
        self._writers.discard(client)
        connection = self._connections.get(client)
        if connection is None:
            return
        connection.blocked = False
        if client.is_connected():
            connection.delay_s = RECONNECT_S[0]
        self._connect_later(client)

    def _has_to_write(self, client: paho.Client, _data: Any, _sock: Any) -> None:
        self._writers.add(client)

    def _has_written(self, client: paho.Client, _data: Any, sock: Any) -> None:
        self._writers.discard(client)
        connection = self._connections.get(client)
        if connection is not None and connection.blocked:
            connection.blocked = False
            self._selector.modify(sock, selectors.EVENT_READ, client)

    def _write(self) -> None:
        for client in list(self._writers):
            connection = self._connections.get(client)
            if connection is None or connection.blocked:
                continue
            client.loop_write()
            sock = client.socket()
            if client in self._writers and sock is not None:
                connection.blocked = True
                both = selectors.EVENT_READ | selectors.EVENT_WRITE
                self._selector.modify(sock, both, client)

    def _keep_alive(self, due: float) -> None:
        for client in list(self._connections):
            client.loop_misc()
        self._schedule.at(due + KEEPALIVE_CHECK_S, self._keep_alive)


def _carried(sock: Any) -> int:
    """Payload bytes that the peer has acknowledged and that it has sent, from the kernel."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED_AT + _BYTES.size)
    acked, received = _BYTES.unpack_from(info, _ACKED_AT)
    return int(acked) + int(received)
