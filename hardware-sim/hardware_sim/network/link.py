"""One direction of a proxied connection: reads, delays, drops, repeats and writes."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from hardware_sim.network.conditions import Conditions, LinkConditions
from hardware_sim.network.packets import Framer, StreamPiece, is_puback, is_publish_qos_1

CHUNK = 1 << 16
# As much as a fast sender may have under way, as in the buffers of a real path.
WINDOW_BYTES = 1 << 20
# A slow link passes a little at a time, not a second's worth at once.
SLICE_S = 0.02
LEAST_SLICE = 128


@dataclass(slots=True)
class Traffic:
    """What one direction carried, of all connections together.

    bytes, dropped_bytes  passed on; swallowed or sent to a receiver that was gone
    packets               MQTT packets that came in, 0 of a stream that is none
    duplicated, late      messages of QoS 1 treated so
    """

    bytes: int = 0
    packets: int = 0
    dropped_bytes: int = 0
    duplicated: int = 0
    late: int = 0


class Bandwidth:
    """A token bucket that all connections of one direction share.

    Source: the token bucket of RFC 2697 with a burst of one slice.
    """

    def __init__(self) -> None:
        self._free_at = 0.0

    async def take(self, count: int, bytes_per_s: int) -> None:
        """Wait until `count` more bytes may have passed."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + count / bytes_per_s
        await asyncio.sleep(self._free_at - now)


@dataclass(slots=True)
class Weather:
    """What all connections of a proxy are subject to; only its event loop's thread touches it.

    passable   set while there is no partition
    """

    conditions: Conditions
    passable: asyncio.Event
    rng: random.Random
    bandwidth: dict[str, Bandwidth] = field(
        default_factory=lambda: {"up": Bandwidth(), "down": Bandwidth()}
    )
    traffic: dict[str, Traffic] = field(
        default_factory=lambda: {"up": Traffic(), "down": Traffic()}
    )


class Acknowledgements:
    """Which PUBACKs answer a repetition of ours: the sender of the message expects one only."""

    def __init__(self) -> None:
        self._expected: Counter[int] = Counter()

    def __bool__(self) -> bool:
        return bool(self._expected)

    def repeated(self, packet_id: int) -> None:
        """Two will come for this message; the first one passes."""
        self._expected[packet_id] = 2

    def once(self, packet_id: int) -> None:
        """A message that is not repeated goes by this number: what was expected won't come."""
        self._expected.pop(packet_id, None)

    def surplus(self, packet_id: int) -> bool:
        """Whether this one must not pass."""
        if packet_id not in self._expected:
            return False
        self._expected[packet_id] -= 1
        if self._expected[packet_id]:
            return False
        del self._expected[packet_id]
        return True


class Direction:
    """Moves bytes from `reader` to `writer` under the weather of the moment."""

    def __init__(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        weather: Weather,
        *,
        openings: frozenset[int],
        sent: Acknowledgements,
        received: Acknowledgements,
    ) -> None:
        """name: `up` or `down`
        openings: MQTT packet types with which this direction begins
        sent, received: repetitions of this direction's messages, and of the other one's
        """
        self._name = name
        self._reader = reader
        self._writer = writer
        self._weather = weather
        self._sent = sent
        self._received = received
        self._framer = Framer(openings, self._wants)
        self._queue: deque[tuple[float, StreamPiece | None]] = deque()
        self._queued_bytes = 0
        self._changed = asyncio.Condition()
        self._late: list[tuple[float, int, bytes]] = []
        self._numbers = 0
        self._release = 0.0
        self._swallowed = False

    async def run(self) -> None:
        """Until the stream has ended and its end has reached the other side."""
        reading = asyncio.create_task(self._read())
        try:
            await self._write()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    @property
    def _link(self) -> LinkConditions:
        conditions = self._weather.conditions
        return conditions.up if self._name == "up" else conditions.down

    @property
    def _traffic(self) -> Traffic:
        return self._weather.traffic[self._name]

    def _wants(self, first: int) -> bool:
        if is_puback(first):
            return bool(self._received)
        return is_publish_qos_1(first) and (self._link.picks_messages or bool(self._sent))

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(CHUNK):
                before = self._framer.packets
                for piece in self._framer.feed(data):
                    await self._put(piece)
                self._traffic.packets += self._framer.packets - before
        except OSError:
            # A reset: the other side learns of it as of an end, after what was under way.
            pass
        held = self._framer.rest()
        if held:
            await self._put(StreamPiece(held, whole=False, ends=False))
        await self._put(None)

    async def _put(self, piece: StreamPiece | None) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._queued_bytes < WINDOW_BYTES)
            link = self._link
            delay_ms = link.latency_ms + self._weather.rng.uniform(0, link.jitter_ms)
            now = asyncio.get_running_loop().time()
            self._release = max(self._release, now + delay_ms / 1000)
            self._queue.append((self._release, piece))
            self._queued_bytes += len(piece.data) if piece else 0
            self._changed.notify_all()

    async def _write(self) -> None:
        between = True
        while True:
            if between:
                await self._write_late()
            if not await self._await_piece(between=between):
                continue
            release, piece = self._queue[0]
            await _until(release)
            await self._taken(piece)
            if piece is None:
                return await self._finish()
            between = piece.ends
            await self._deliver(piece)

    async def _await_piece(self, *, between: bool) -> bool:
        """Wait for a piece; False where a late message is due before one came."""
        due = self._late[0][0] if self._late and between else None
        async with self._changed:
            try:
                async with asyncio.timeout_at(due):
                    await self._changed.wait_for(lambda: bool(self._queue))
            except TimeoutError:
                return False
        if due is not None and due <= self._queue[0][0]:
            await _until(due)
            return False
        return True

    async def _taken(self, piece: StreamPiece | None) -> None:
        async with self._changed:
            self._queue.popleft()
            self._queued_bytes -= len(piece.data) if piece else 0
            self._changed.notify_all()

    async def _deliver(self, piece: StreamPiece) -> None:
        packet_id = piece.packet_id
        if packet_id is None:
            return await self._send(piece.data)
        if is_puback(piece.data[0]):
            if not self._received.surplus(packet_id):
                await self._send(piece.data)
            return None
        link, rng = self._link, self._weather.rng
        if rng.random() < link.late_share:
            self._traffic.late += 1
            self._numbers += 1
            due = asyncio.get_running_loop().time() + link.late_ms / 1000
            heapq.heappush(self._late, (due, self._numbers, piece.data))
            return None
        if rng.random() >= link.duplicate_share:
            self._sent.once(packet_id)
            return await self._send(piece.data)
        self._sent.repeated(packet_id)
        self._traffic.duplicated += 1
        await self._send(piece.data)
        return await self._send(piece.repeated())

    async def _write_late(self) -> None:
        while self._late and self._late[0][0] <= asyncio.get_running_loop().time():
            await self._send(heapq.heappop(self._late)[2])

    async def _finish(self) -> None:
        for _, _, packet in sorted(self._late):
            await self._send(packet)
        await self._weather.passable.wait()
        if self._link.swallow or self._swallowed:
            return
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def _send(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            rate = self._link.bytes_per_s
            most = max(LEAST_SLICE, int(rate * SLICE_S)) if rate else CHUNK
            part = data[at : at + most]
            at += len(part)
            if rate:
                await self._weather.bandwidth[self._name].take(len(part), rate)
            await self._weather.passable.wait()
            self._swallowed = self._swallowed or self._link.swallow
            if self._swallowed:
                self._traffic.dropped_bytes += len(part)
                continue
            try:
                self._writer.write(part)
                await self._writer.drain()
            except OSError:
                # The receiver is gone. The sender learns of it from the other direction, if at all.
                self._swallowed = True
                self._traffic.dropped_bytes += len(part)
            else:
                self._traffic.bytes += len(part)


async def _until(moment: float) -> None:
    wait = moment - asyncio.get_running_loop().time()
    if wait > 0:
        await asyncio.sleep(wait)
