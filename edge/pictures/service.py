"""Pictures on demand: requests from the cloud, answers from the ring, at the lowest priority.

Nothing here is between camera and verdict. A request that can't be taken now is left: the cloud
asks again.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edge.configuration.settings import EdgeSettings
from edge.inspection.model import LiveModel
from edge.monitoring.health import BoxHealth
from edge.pictures.answers import Answer, PictureAnswers, PictureRefused
from edge.pictures.maps import SecondHead
from edge.pictures.pace import PicturePace
from edge.pictures.reader import JournalPictures
from shared.clock import Clock
from shared.contracts import PictureKind
from shared.errors import TransportError, WireError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Arrival, Transport, subscribe
from shared.wire import MAX_PICTURE, PicturePiece, PictureRefusal, PictureRequest, encode
from shared.worker import Worker

log = get_logger("pictures")

MOST_WAITING = 16
MOST_OPEN = 4
MOST_OPEN_BYTES = 2 * MAX_PICTURE
OPEN_S = 10.0
LOOK_S = 5.0
# What comes later is asked for again.
WORTH_S = 5.0
HEADER = 1024
LOWEST_PRIORITY = 19
STOP_S = 2.0
RETRY_S = 1.0


@dataclass(slots=True)
class _Open:
    about: tuple[str, int, str]
    answer: Answer
    asked_at: float


class PictureService:
    """Listens from the start; a thread of its own answers, one piece at a time.

    Each request names the piece that it wants, so nothing has to be remembered between two: what
    is, is there so that it need not be read and made again.
    """

    def __init__(
        self,
        answers: PictureAnswers,
        transport: Transport,
        address: Address,
        *,
        clock: Clock,
        health: BoxHealth,
        pace: PicturePace | None = None,
    ) -> None:
        self._answers = answers
        self._transport = transport
        self._address = address
        self._clock = clock
        self._health = health
        self._pace = pace or PicturePace(clock)
        self._waiting: queue.Queue[PictureRequest | None] = queue.Queue(MOST_WAITING)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._held = ""
        # A box whose pictures can't be seen still inspects.
        self._worker = Worker(
            "pictures",
            self._work,
            on_death=lambda *_: None,
            retry_s=RETRY_S,
            unblock=lambda: self._put(None),
        )

    def listen(self) -> None:
        subscribe(
            self._transport,
            self._address.topic("picture"),
            PictureRequest,
            self._arrived,
            refused=self._health.payload_refused,
        )

    def hold(self, reason: str) -> None:
        """Send nothing for this reason; empty: send again. From any thread."""
        self._held = reason

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """May be called without `start`."""
        self._worker.stop(STOP_S)

    def step(self, wait_s: float = 0.0) -> bool:
        """Answer the next request; whether there was one. wait_s: for one to come."""
        try:
            request = self._waiting.get(timeout=wait_s) if wait_s else self._waiting.get_nowait()
        except queue.Empty:
            self._forget()
            return False
        if request is not None:
            self._answer(request)
        return True

    def _arrived(self, arrival: Arrival[PictureRequest]) -> None:
        request = arrival.message
        if arrival.body or not request.most:
            raise WireError(
                f"a request with {len(arrival.body)} B of body for {request.most} B came",
                fix="update the older side",
            )
        # What a broker kept was asked some time ago: nobody waits for it.
        if not arrival.retained:
            self._put(request)

    def _put(self, request: PictureRequest | None) -> None:
        with suppress(queue.Full):
            self._waiting.put_nowait(request)

    def _work(self) -> float:
        if sys.platform == "linux":
            # Linux gives each thread a priority of its own.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        self.step(LOOK_S)
        return 0.0

    def _answer(self, request: PictureRequest) -> None:
        self._forget()
        if request.place:
            self._pace.asked_on()
        try:
            answer = self._opened(request)
        except PictureRefused as refused:
            self._refuse(request, refused)
            return
        if request.place >= max(1, len(answer.content)):
            log.debug("picture_asked_beyond_its_end", boot=request.boot, sequence=request.sequence)
            return
        self._worker.stopping.wait(self._pace.wait_s)
        room = max(1, self._transport.max_payload - HEADER)
        length = min(request.most, self._pace.piece, room)
        body = answer.content[request.place : request.place + length]
        piece = PicturePiece(
            *_asked(request),
            place=request.place,
            size=len(answer.content),
            sha256=answer.sha256,
            kept=answer.kept,
            frame=answer.frame,
            window=answer.window,
            bundle=answer.bundle,
        )
        if self._say(request, piece, body):
            self._pace.sent(len(body))
        if request.place + len(body) >= len(answer.content):
            self._health.count("pictures_given")

    def _opened(self, request: PictureRequest) -> Answer:
        """Raises PictureRefused."""
        if self._held:
            raise PictureRefused("held", self._held)
        now, about = self._clock.monotonic(), _about(request)
        known = self._open.get(request.request)
        if known is not None and known.about == about:
            known.asked_at = now
            return known.answer
        if not self._pace.admits():
            raise PictureRefused("busy", "more is asked for than a box gives beside its line")
        answer = self._answers.answer(request)
        self._open[request.request] = _Open(about, answer, now)
        while len(self._open) > MOST_OPEN or self._open_bytes > MOST_OPEN_BYTES:
            self._open.popitem(last=False)
        log.info(
            "picture_given",
            boot=request.boot,
            sequence=request.sequence,
            what=request.what,
            size=len(answer.content),
            to=request.worker,
        )
        return answer

    def _refuse(self, request: PictureRequest, refused: PictureRefused) -> None:
        self._health.count("pictures_refused")
        log.debug("picture_refused", why=refused.why, detail=refused.detail)
        policy = self._answers.policy
        self._say(
            request, PictureRefusal(*_asked(request), refused.why, policy, refused.detail), b""
        )

    def _say(
        self, request: PictureRequest, message: PicturePiece | PictureRefusal, body: bytes
    ) -> bool:
        """Whether the broker has it."""
        try:
            topic = self._address.pictured(request.worker)
            self._transport.publish(topic, encode(message, body), expires_s=WORTH_S)
        except (TransportError, WireError) as error:
            log.debug("picture_unsent", error=str(error))
            return False
        return True

    @property
    def _open_bytes(self) -> int:
        return sum(len(one.answer.content) for one in self._open.values())

    def _forget(self) -> None:
        """What nobody has asked on for a while, and the head that nobody needs."""
        self._answers.again.rest()
        now = self._clock.monotonic()
        gone = [name for name, one in self._open.items() if now - one.asked_at > OPEN_S]
        for name in gone:
            del self._open[name]


def open_pictures(
    settings: EdgeSettings,
    live: Callable[[], LiveModel],
    transport: Transport,
    clock: Clock,
    health: BoxHealth,
) -> PictureService:
    """What a box answers with. Nothing has been started. live: the model that judges now"""
    kept = JournalPictures(settings.journal.path)
    answers = PictureAnswers(kept, SecondHead(live, clock), settings.pictures.policy)
    return PictureService(answers, transport, settings.address, clock=clock, health=health)


def _about(request: PictureRequest) -> tuple[str, int, str]:
    return request.boot, request.sequence, request.what


def _asked(request: PictureRequest) -> tuple[str, str, int, PictureKind]:
    """What every answer says again."""
    return request.request, request.boot, request.sequence, request.what
