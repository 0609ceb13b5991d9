"""Parcels between two sides over a channel that may lose, repeat and reorder what it carries.

Who receives decides the pace: it asks for a few pieces at a time, and again for what does not
come, so that nothing else on the connection waits long behind them. Who sends offers the first
piece until the receiver says that it has everything. Time comes from outside: call `tick` now
and then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from shared.clock import Clock
from shared.errors import TransportError, WireError
from shared.federation.chunks import STEP, Assembly, count_of, piece
from shared.log import get_logger
from shared.wire import MAX_PAYLOAD, ParcelKind, RoundAsk, RoundPiece

log = get_logger("parcels")

WINDOW = 4
AGAIN_S = (1.0, 8.0)
MEBI = 1 << 20
HEADER, LEAST_STEP = 1024, 1024
SMALL = 128 * 1024
MOST: dict[ParcelKind, int] = {
    "query": SMALL,
    "order": 48 * MEBI,
    "base": 200 * MEBI,
    "counts": SMALL,
    "answer": 48 * MEBI,
    "refusal": SMALL,
}
MOST_AT_ONCE = 8
REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Parcel:
    """Something that travels as a whole; fields as in `wire.RoundPart`.

    until   monotonic seconds, by this side's clock, after which nobody wants it
    """

    id: str
    what: ParcelKind
    payload: bytes
    until: float
    session: str = ""
    about: str = ""
    base: str = ""


class Say(Protocol):
    """Sends one message to the other side. Raises TransportError where that can't be done now."""

    def __call__(self, message: RoundPiece | RoundAsk, body: bytes = b"") -> None: ...


@dataclass(slots=True)
class _Leaving:
    parcel: Parcel
    sha256: str
    due: float
    step: int
    wait: float = AGAIN_S[0]
    wanted: bool = False


@dataclass(slots=True)
class _Held:
    """`step`: bytes a piece, as the first one that went out had them."""

    parcel: Parcel
    step: int


@dataclass(slots=True)
class _Coming:
    """`head` is what is known of it from the first piece; None until one has come."""

    id: str
    until: float
    due: float
    head: RoundPiece | None = None
    assembly: Assembly | None = None
    asked: set[int] = field(default_factory=set)
    wait: float = AGAIN_S[0]


class Parcels:
    """One side's parcels to and from one other. Not safe to share between threads.

    accepts   what may come in here; anything else is refused by name
    """

    def __init__(
        self,
        say: Say,
        clock: Clock,
        accepts: frozenset[ParcelKind],
        most_bytes: Callable[[], int] = lambda: MAX_PAYLOAD,
    ) -> None:
        """most_bytes: of a message that can be said now"""
        self._most_bytes = most_bytes
        self._say = say
        self._clock = clock
        self._accepts = accepts
        self._leaving: dict[str, _Leaving] = {}
        self._held: dict[str, _Held] = {}
        self._coming: dict[str, _Coming] = {}
        self._done: dict[str, str] = {}
        self.bytes_out = 0
        self.bytes_in = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way in either direction."""
        return not self._leaving and not self._coming

    def offer(self, parcel: Parcel) -> None:
        """Send it until the other side has it, or nobody wants it any more."""
        sha256 = hashlib.sha256(parcel.payload).hexdigest()
        step = self._step()
        leaving = _Leaving(parcel, sha256, self._clock.monotonic() + AGAIN_S[0], step)
        self._leaving[parcel.id] = leaving
        self._send(parcel, sha256, 0, step)

    def hold(self, parcel: Parcel) -> None:
        """Send it when it is asked for; the id is its sha256."""
        self._held[parcel.id] = _Held(parcel, self._step())

    def want(self, id_: str, until: float) -> None:
        """Ask for what the other side holds."""
        if id_ not in self._coming:
            self._done.pop(id_, None)
            now = self._clock.monotonic()
            self._coming[id_] = _Coming(id_, until, now + AGAIN_S[0])
            self._tell(RoundAsk(id_, (0,)))

    def forget(self, id_: str) -> None:
        """Nobody wants it any more, in either direction."""
        self._leaving.pop(id_, None)
        self._coming.pop(id_, None)

    def ask(self, message: RoundAsk) -> str:
        """The other side asks for pieces, or says that it needs none; why it refused, or empty."""
        leaving, held = self._leaving.get(message.parcel), self._held.get(message.parcel)
        if not message.parts:
            self._leaving.pop(message.parcel, None)
            return message.refused
        if leaving is not None:
            leaving.due = self._clock.monotonic() + AGAIN_S[1]
            leaving.wanted = True
            parcel, sha256, step = leaving.parcel, leaving.sha256, leaving.step
        elif held is not None:
            if message.parts == (0,):
                # It knows nothing of it yet, nor how large its pieces are.
                held.step = self._step()
            parcel, sha256, step = held.parcel, held.parcel.id, held.step
        else:
            self._tell(RoundAsk(message.parcel, refused="it is not known here"))
            return ""
        for index in message.parts[:WINDOW]:
            if 0 <= index < count_of(len(parcel.payload), step):
                self._send(parcel, sha256, index, step)
        return ""

    def part(self, message: RoundPiece, body: bytes) -> Parcel | None:
        """Take a piece; the whole parcel where it was the last one."""
        if message.parcel in self._done:
            self._tell(RoundAsk(message.parcel, refused=self._done[message.parcel]))
            return None
        try:
            coming, assembly = self._known(message)
            if assembly.put(message.index, body):
                self.bytes_in += len(body)
            coming.asked.discard(message.index)
            if not assembly.is_whole:
                self._ask_more(coming)
                return None
            payload = assembly.whole()
        except WireError as error:
            log.warning("parcel_refused", parcel=message.parcel[:64], reason=error.message)
            self._finish(message.parcel, error.message)
            return None
        self._finish(message.parcel, "")
        return Parcel(
            message.parcel,
            message.what,
            payload,
            coming.until,
            message.session,
            message.about,
            message.base,
        )

    def refuse(self, id_: str, reason: str) -> None:
        """Take no piece of it."""
        self._finish(id_, reason)

    def is_new(self, id_: str) -> bool:
        """Whether no piece of it has been seen."""
        return id_ not in self._coming and id_ not in self._done

    def tick(self) -> None:
        """Offer and ask again for what has waited too long; let go of what nobody wants."""
        now = self._clock.monotonic()
        for leaving in list(self._leaving.values()):
            if now >= leaving.parcel.until:
                del self._leaving[leaving.parcel.id]
            elif now >= leaving.due:
                leaving.wait = min(2 * leaving.wait, AGAIN_S[1])
                leaving.due = now + leaving.wait
                if not leaving.wanted:
                    # The other side may have no piece: the broker may take none so large.
                    leaving.step = min(leaving.step, self._step())
                self._send(leaving.parcel, leaving.sha256, 0, leaving.step)
        for coming in list(self._coming.values()):
            if now >= coming.until:
                del self._coming[coming.id]
            elif now >= coming.due:
                coming.wait = min(2 * coming.wait, AGAIN_S[1])
                coming.asked.clear()
                self._ask_more(coming)

    def hurry(self) -> None:
        """The connection is back: whatever waits is due now."""
        now = self._clock.monotonic()
        for leaving in self._leaving.values():
            leaving.due, leaving.wait = now, AGAIN_S[0] / 2
        for coming in self._coming.values():
            coming.due, coming.wait = now, AGAIN_S[0] / 2

    def _known(self, message: RoundPiece) -> tuple[_Coming, Assembly]:
        if message.what not in self._accepts:
            raise WireError(f"no {message.what} is taken here")
        coming = self._coming.get(message.parcel)
        if coming is None:
            if len(self._coming) >= MOST_AT_ONCE:
                raise WireError(f"{MOST_AT_ONCE} parcels are under way already")
            now = self._clock.monotonic()
            remaining = message.remaining if message.remaining > 0 else 600.0
            coming = _Coming(message.parcel, now + min(remaining, 86_400.0), now + AGAIN_S[0])
            self._coming[message.parcel] = coming
        if coming.assembly is None:
            most = MOST[message.what]
            coming.head = message
            coming.assembly = Assembly(message.size, message.step, message.sha256, most=most)
        head = coming.head
        if head is None or (head.size, head.step, head.sha256) != (
            message.size,
            message.step,
            message.sha256,
        ):
            raise WireError("its pieces don't agree on what they make")
        return coming, coming.assembly

    def _ask_more(self, coming: _Coming) -> None:
        coming.due = self._clock.monotonic() + coming.wait
        if coming.assembly is None:
            self._tell(RoundAsk(coming.id, (0,)))
            return
        room = WINDOW - len(coming.asked)
        unasked = (i for i in coming.assembly.lacking() if i not in coming.asked)
        wanted = list(islice(unasked, max(0, room)))
        if wanted:
            coming.asked.update(wanted)
            self._tell(RoundAsk(coming.id, tuple(wanted)))

    def _finish(self, id_: str, reason: str) -> None:
        self._coming.pop(id_, None)
        self._done[id_] = reason[:300]
        while len(self._done) > REMEMBERED:
            del self._done[next(iter(self._done))]
        self._tell(RoundAsk(id_, refused=reason[:300]))

    def _step(self) -> int:
        """Bytes a piece, so that it fits into a message with its header."""
        return min(STEP, max(LEAST_STEP, self._most_bytes() - HEADER))

    def _send(self, parcel: Parcel, sha256: str, index: int, step: int) -> None:
        body = piece(parcel.payload, index, step)
        message = RoundPiece(
            parcel=parcel.id,
            what=parcel.what,
            index=index,
            step=step,
            size=len(parcel.payload),
            sha256=sha256,
            session=parcel.session,
            about=parcel.about,
            base=parcel.base,
            remaining=max(0.1, parcel.until - self._clock.monotonic()),
        )
        if self._tell(message, body):
            self.bytes_out += len(body)

    def _tell(self, message: RoundPiece | RoundAsk, body: bytes = b"") -> bool:
        try:
            self._say(message, body)
        except TransportError as error:
            # `tick` says it again.
            log.debug("unsaid", error=error.message)
            return False
        return True
