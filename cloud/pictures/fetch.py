"""Asks boxes for pictures, piece by piece. A picture is in memory while it is fetched and shown."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from cloud.pictures.assembly import PictureAssembly
from cloud.pictures.base import (
    BadAnswer,
    BoxBusy,
    BoxSilent,
    PictureGone,
    PictureKept,
    ShownPicture,
)
from shared.contracts import InspectionKey, PictureKind
from shared.errors import PictureError, TransportError, WireError
from shared.log import get_logger
from shared.topics import Address, everyone_pictured
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import (
    PictureMessage,
    PicturePiece,
    PictureRefusal,
    PictureRequest,
    encode,
)

log = get_logger("pictures")

MOST_UNREAD = 4
BUSY_S = 0.4


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much is asked, and how long is waited.

    of_box   pictures that are fetched of one box at a time, by this worker
    in_all   of all boxes; each holds up to `shared.wire.MAX_PICTURE` bytes
    piece_s  for a piece, before it is asked for again
    tries    of each piece
    whole_s  for all of it, waiting for others included
    """

    of_box: int = 2
    in_all: int = 16
    piece_s: float = 2.0
    tries: int = 3
    whole_s: float = 20.0


@dataclass(slots=True)
class _Inbox:
    """Answers to one request, for the loop that waits for them."""

    address: Address
    loop: asyncio.AbstractEventLoop
    came: asyncio.Queue[Arrival[PictureMessage]] = field(
        default_factory=lambda: asyncio.Queue(MOST_UNREAD)
    )

    def offer(self, arrival: Arrival[PictureMessage]) -> None:
        with suppress(asyncio.QueueFull):
            self.came.put_nowait(arrival)


class BoxPictures:
    """A `cloud.pictures.base.Pictures`. Each worker of a cloud hears the answers to itself alone.

    worker   its name at the broker
    """

    def __init__(
        self, transport: Transport, worker: str, limits: FetchLimits | None = None
    ) -> None:
        self._transport = transport
        self._worker = worker
        self._limits = limits or FetchLimits()
        self._lock = threading.Lock()
        self._waiting: dict[str, _Inbox] = {}
        self._fetching: Counter[Address] = Counter()
        self._turns: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def listen(self) -> None:
        """Subscribe."""
        answers = everyone_pictured(self._worker)
        subscribe(self._transport, answers, PictureMessage, self._arrived)

    async def fetch(
        self, address: Address, key: InspectionKey, what: PictureKind, digest: str = ""
    ) -> ShownPicture:
        try:
            async with asyncio.timeout(self._limits.whole_s), self._place(address):
                return await self._fetched(address, key, what, digest)
        except TimeoutError:
            raise _silent(address, f"within {self._limits.whole_s:g} s") from None
        except BadAnswer as error:
            log.warning(
                "picture_refused", device=address.device, asked=list(key), reason=error.message
            )
            raise

    async def _fetched(
        self, address: Address, key: InspectionKey, what: PictureKind, digest: str
    ) -> ShownPicture:
        request = secrets.token_hex(8)
        assembly = PictureAssembly(key, what, digest)
        inbox = _Inbox(address, asyncio.get_running_loop())
        with self._lock:
            self._waiting[request] = inbox
        try:
            while not assembly.complete:
                asked = PictureRequest(
                    request, key.boot, key.sequence, what, self._worker, assembly.length
                )
                await self._piece(asked, inbox, assembly)
            return assembly.picture()
        finally:
            with self._lock:
                del self._waiting[request]

    async def _piece(self, asked: PictureRequest, inbox: _Inbox, assembly: PictureAssembly) -> None:
        """Ask for the next piece until it is here. Raises PictureError."""
        for _ in range(self._limits.tries):
            self._ask(inbox.address, asked)
            try:
                async with asyncio.timeout(self._limits.piece_s):
                    while True:
                        arrival = await inbox.came.get()
                        message = arrival.message
                        if isinstance(message, PicturePiece):
                            if assembly.take(message, arrival.body):
                                return
                        elif isinstance(message, PictureRefusal):
                            assembly.require_asked(message)
                            if message.why != "busy":
                                raise refusal_of(inbox.address, message)
                            await asyncio.sleep(BUSY_S)
                            self._ask(inbox.address, asked)
            except TimeoutError:
                continue
        raise _silent(inbox.address, f"{self._limits.tries} times")

    def _ask(self, address: Address, asked: PictureRequest) -> None:
        try:
            self._transport.publish(
                address.topic("picture"), encode(asked), expires_s=self._limits.piece_s
            )
        except TransportError as error:
            raise BoxSilent(
                f"{address.device} can't be asked: {error.message}", fix=error.fix
            ) from error

    def _arrived(self, arrival: Arrival[PictureMessage]) -> None:
        """On the transport's thread. What nobody waits for any more is left."""
        message = arrival.message
        with self._lock:
            inbox = self._waiting.get(message.request)
        if inbox is None or arrival.retained:
            return
        if arrival.address != inbox.address:
            raise WireError(
                f"{arrival.address.device} answers what {inbox.address.device} was asked",
                fix="see what runs on that box",
            )
        with suppress(RuntimeError):
            # The loop may have ended with the service.
            inbox.loop.call_soon_threadsafe(inbox.offer, arrival)

    @asynccontextmanager
    async def _place(self, address: Address) -> AsyncIterator[None]:
        """One of the few that a box, and this worker, fetch at a time."""
        loop = asyncio.get_running_loop()
        while True:
            freed = asyncio.Event()
            with self._lock:
                if self._enter(address):
                    break
                self._turns.append((loop, freed))
            await freed.wait()
        try:
            yield
        finally:
            with self._lock:
                self._fetching[address] -= 1
                self._fetching += Counter()
                turns, self._turns = self._turns, []
            for waiting, event in turns:
                with suppress(RuntimeError):
                    waiting.call_soon_threadsafe(event.set)

    def _enter(self, address: Address) -> bool:
        """Whether there is one. Called with the lock."""
        free = self._fetching.total() < self._limits.in_all
        if not free or self._fetching[address] >= self._limits.of_box:
            return False
        self._fetching[address] += 1
        return True


def _silent(address: Address, how: str) -> BoxSilent:
    return BoxSilent(
        f"{address.device} was asked {how} and does not answer",
        fix="see whether it runs, its link, and the broker's access list: docs/guides/broker.md",
    )


def refusal_of(address: Address, refusal: PictureRefusal) -> PictureError:
    """A box's word as an error of ours."""
    device = address.device
    match refusal.why:
        case "policy":
            return PictureKept(
                f"{device} keeps its pictures: {refusal.detail}",
                fix=f"set pictures.policy in the configuration of {device}, on the box itself",
                policy=refusal.policy,
            )
        case "gone":
            return PictureGone(
                f"{device} says: {refusal.detail}",
                fix="the ring keeps what is uncertain, and the newest of it: see "
                "journal.ring_keep and journal.ring_bytes",
            )
        case "busy":
            return BoxBusy(f"{device} says: {refusal.detail}", fix="try again in a second")
        case _:
            return PictureGone(f"{device} says: {refusal.detail}", fix="see that box")
