"""A TCP proxy between devices and their broker that can be as bad as a real network."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from hardware_sim.network.conditions import Conditions
from hardware_sim.network.link import Acknowledgements, Direction, Traffic, Weather
from hardware_sim.network.packets import AUTH, CONNACK, CONNECT
from shared.errors import ProcessError
from shared.log import get_logger
from shared.loopback import bind

log = get_logger("network")

T = TypeVar("T")
CALL_S = 10.0
CONNECT_S = 5.0
UP_OPENINGS = frozenset({CONNECT})
DOWN_OPENINGS = frozenset({CONNACK, AUTH})
# Linger for no time: closing sends a reset instead of an end.
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class ProxyCounters:
    """What a proxy has seen since its start.

    up, down    traffic from the devices and to them
    accepted    connections that devices opened
    open        of those, still open
    refused     of those, reset because the broker did not answer
    cut         connections that `cut` reset
    """

    up: Traffic
    down: Traffic
    accepted: int
    open: int
    refused: int
    cut: int


class NetworkProxy:
    """Listens for devices and connects each to the broker, under conditions that may change.

    It runs in a thread of its own. A partition can't stop the kernel from accepting a new
    connection, so a device that connects meanwhile waits for an answer to its first packet.
    """

    def __init__(
        self,
        broker: tuple[str, int],
        *,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        conditions: Conditions | None = None,
        seed: int = 0,
    ) -> None:
        """broker, listen: host and port; a port 0 to listen on takes any free one
        seed: of the jitter and of which messages come late or twice
        """
        self._broker = broker
        self.host, self.port = listen
        self._first = conditions or Conditions()
        self._seed = seed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._weather: Weather
        self._server: asyncio.Server
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._serving: set[asyncio.Task[None] | None] = set()
        self._accepted = self._refused = self._cut = 0

    def start(self) -> Self:
        """Listen. Raises ProcessError where the port is taken."""
        sock = bind(self.host, self.port, setting="the proxy's port")
        self.port = sock.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._call(self._listen(sock))
        return self

    def stop(self) -> None:
        """End every connection and stop listening. May be called twice."""
        if self._loop is None or self._thread is None:
            return
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def conditions(self) -> Conditions:
        """Those of now."""
        return self._call(self._look()).conditions

    def apply(self, conditions: Conditions) -> None:
        """Replace the conditions. Bytes that are under way keep the delay that they were given."""
        self._call(self._apply(conditions))

    def cut(self) -> int:
        """Reset every open connection on both sides; how many there were."""
        return self._call(self._reset())

    @property
    def counters(self) -> ProxyCounters:
        return self._call(self._count())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise ProcessError("the network proxy does not run", fix="call start() first")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S)
        except concurrent.futures.TimeoutError as error:
            raise ProcessError(
                f"the network proxy did not answer for {CALL_S:.0f} s", fix="restart the simulator"
            ) from error

    async def _listen(self, sock: socket.socket) -> None:
        passable = asyncio.Event()
        # Jitter is no secret.
        rng = random.Random(self._seed)  # noqa: S311
        self._weather = Weather(self._first, passable, rng)
        await self._apply(self._first)
        self._server = await asyncio.start_server(self._serve, sock=sock)

    async def _look(self) -> Weather:
        return self._weather

    async def _apply(self, conditions: Conditions) -> None:
        self._weather.conditions = conditions
        if conditions.partition:
            self._weather.passable.clear()
        else:
            self._weather.passable.set()

    async def _count(self) -> ProxyCounters:
        traffic = self._weather.traffic
        return ProxyCounters(
            replace(traffic["up"]),
            replace(traffic["down"]),
            self._accepted,
            len(self._connections),
            self._refused,
            self._cut,
        )

    async def _reset(self) -> int:
        connections = dict(self._connections)
        for task, writers in connections.items():
            for writer in writers:
                _abort(writer)
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        # `open` counts them no more when this returns.
        for task in connections:
            await self._forget(task)
        self._cut += len(connections)
        return len(connections)

    async def _close(self) -> None:
        self._server.close()
        for task, writers in self._connections.items():
            for writer in writers:
                writer.transport.abort()
            task.cancel()
        await asyncio.gather(*(task for task in self._serving if task is not None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from a device that opened it."""
        self._accepted += 1
        # A task of our own: asyncio would complain of the one it made when that is cancelled.
        task = asyncio.create_task(self._carry(reader, writer))
        self._connections[task] = [writer]
        serving = asyncio.current_task()
        self._serving.add(serving)
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("connection_failed", error=f"{type(error).__name__}: {error}")
        await self._forget(task)
        self._serving.discard(serving)

    async def _forget(self, task: asyncio.Task[None]) -> None:
        for writer in self._connections.pop(task, []):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._weather.passable.wait()
        try:
            async with asyncio.timeout(CONNECT_S):
                far_reader, far_writer = await asyncio.open_connection(*self._broker)
        except (OSError, TimeoutError) as error:
            log.warning("broker_unreachable", broker=self._broker, error=str(error))
            self._refused += 1
            _abort(writer)
            return
        current = asyncio.current_task()
        if current is not None:
            self._connections[current].append(far_writer)
        sent, received = Acknowledgements(), Acknowledgements()
        up = Direction(
            *("up", reader, far_writer, self._weather),
            openings=UP_OPENINGS,
            sent=sent,
            received=received,
        )
        down = Direction(
            *("down", far_reader, writer, self._weather),
            openings=DOWN_OPENINGS,
            sent=received,
            received=sent,
        )
        await asyncio.gather(up.run(), down.run())


def _abort(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
