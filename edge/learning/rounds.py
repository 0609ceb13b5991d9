"""A device's part in federated rounds: orders in, the learner started and held back, answers out.

Everything comes and goes over the agent's one connection, in pieces. The agent itself can't
learn: a process does, and only while there is an order.
"""

from __future__ import annotations

import contextlib
import queue
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edge.learning.admission import Admission, Bases, LearningLimits, available_memory
from edge.learning.learner_process import OpenLearner
from edge.learning.supervision import LearnerAnswer, LearnerSupervisor
from edge.learning.throttle import Throttle
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.errors import SplitsightError, WireError
from shared.federation.parcels import Parcel, Parcels
from shared.federation.protocol import FAILED, NOT_NOW, LabelCounts, Refusal
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import Delivery, Transport
from shared.wire import ParcelKind, RoundAsk, RoundMessage, RoundOver, RoundPiece, decode, encode
from shared.worker import Worker

log = get_logger("rounds")

TICK_S = 0.1
LATE_S = 60.0
STOP_S = 2.0
MOST_WAITING = 16
ACCEPTS: frozenset[ParcelKind] = frozenset({"query", "order", "base"})


class CountsLabels(Protocol):
    """Counts this device's labels, for the base network of this sha256. Raises SplitsightError."""

    def __call__(self, base: str) -> LabelCounts: ...


@dataclass(slots=True)
class _Orders:
    """What has come and is not under way yet. For the thread that works alone."""

    session: str = ""
    waiting: deque[Parcel] = field(default_factory=deque)
    queries: list[Parcel] = field(default_factory=list)


class Rounds:
    """Listens from the start; a thread of its own does the work, and sleeps where there is none.

    count   the labels that this device has
    open    starts a learner
    ready   raises MissingExtra where none is installed
    """

    def __init__(
        self,
        transport: Transport,
        address: Address,
        limits: LearningLimits,
        *,
        count: CountsLabels,
        open: OpenLearner,  # noqa: A002 - as Path.open
        ready: Callable[[], None],
        throttle: Throttle,
        clock: Clock,
        health: BoxHealth,
        free_memory: Callable[[], int] | None = None,
    ) -> None:
        self._transport = transport
        self._in = address.topic("round")
        self._out = address.topic("answer")
        self._limits = limits
        self._count = count
        self._clock = clock
        self._health = health
        self._admission = Admission(limits, ready, free_memory or available_memory)
        self._bases = Bases(limits.folder / "bases")
        self._parcels = Parcels(self._say, clock, ACCEPTS, lambda: transport.max_payload)
        self._orders = _Orders()
        self._heard: queue.SimpleQueue[Delivery | LearnerAnswer | bool | None] = queue.SimpleQueue()
        self._desk = LearnerSupervisor(
            limits,
            self._bases,
            self,
            open=open,
            hear=self._heard.put,
            throttle=throttle,
            clock=clock,
            health=health,
        )
        # Without this thread the device would never answer again.
        self._worker = Worker(
            "rounds",
            self._work_on,
            on_death=health.worker_died,
            retry_s=TICK_S,
            unblock=lambda: self._heard.put(None),
        )

    def listen(self) -> None:
        for left in self._limits.folder.glob("*.order"):
            # From an agent that was killed.
            left.with_suffix(".answer").unlink(missing_ok=True)
            left.unlink()
        self._transport.subscribe(self._in, self._heard.put)
        self._transport.on_connection(self._heard.put)

    def hold(self, reason: str) -> None:
        """Take no orders for this reason; empty: take them again. From any thread."""
        self._admission.held = reason

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """End, and the learner with it. May be called without `start`."""
        self._worker.stop(STOP_S)
        self._desk.let_go()

    @property
    def is_idle(self) -> bool:
        """Whether there is no learner and nothing to send or fetch."""
        orders = self._orders
        at_rest = not self._desk.is_running and not self._desk.is_working
        return at_rest and not orders.waiting and not orders.queries and self._parcels.is_idle

    def work(self, wait_s: float | None = 0.0) -> None:
        """Do what has come, then what is due. wait_s: for something to come; None for ever."""
        with contextlib.suppress(queue.Empty):
            self._hear(
                self._heard.get(timeout=wait_s) if wait_s else self._heard.get(wait_s is None)
            )
            while True:
                self._hear(self._heard.get_nowait())
        self._tick()

    def _work_on(self) -> float:
        self.work(None if self.is_idle else TICK_S)
        return 0.0

    def _hear(self, heard: Delivery | LearnerAnswer | bool | None) -> None:  # noqa: FBT001 - of a queue
        match heard:
            case Delivery():
                self._arrived(heard)
            case LearnerAnswer():
                if self._desk.heard(heard):
                    self._move_on()
            case True:
                self._parcels.hurry()
            case _:
                pass

    def _arrived(self, delivery: Delivery) -> None:
        try:
            message, body = decode(delivery.payload, RoundMessage)
        except WireError as error:
            self._health.count("payloads_refused")
            log.warning("payload_refused", topic=delivery.topic, error=str(error))
            return
        match message:
            case RoundPiece():
                self._take(message, body)
            case RoundAsk():
                self._parcels.ask(message)
            case RoundOver() if message.session == self._orders.session:
                self._desk.let_go()

    def _take(self, message: RoundPiece, body: bytes) -> None:
        new = self._parcels.is_new(message.parcel)
        if message.what == "base" and (new or message.sha256 != message.parcel):
            self._parcels.refuse(message.parcel, "this base network was not asked for")
            return
        if message.what != "base" and new:
            refusal = self._refusal(message)
            if refusal is not None:
                self._parcels.refuse(message.parcel, refusal.reason)
                self.refuse(message.parcel, refusal)
                return
        parcel = self._parcels.part(message, body)
        if parcel is None:
            return
        match parcel.what:
            case "base":
                self._bases.keep(parcel.id, parcel.payload)
            case "query":
                self._orders.queries.append(parcel)
            case _:
                self._begin_session(parcel.session)
                self._orders.waiting.append(parcel)
        self._move_on()

    def _refusal(self, message: RoundPiece) -> Refusal | None:
        """Why this device does not even take an order; None where it does."""
        refusal = self._admission.refusal()
        if refusal is not None or message.what == "query":
            return refusal
        if len(self._orders.waiting) >= MOST_WAITING:
            return Refusal(NOT_NOW, f"{MOST_WAITING} orders wait already")
        return self._admission.lack(message.size, learner_runs=self._desk.is_running)

    def _begin_session(self, session: str) -> None:
        """Another coordinator, or the same one started again: what the last one asked is over."""
        if session != self._orders.session:
            self._orders.waiting.clear()
            if self._desk.is_working:
                self._desk.let_go()
            self._orders.session = session

    def _move_on(self) -> None:
        """Answer queries whose base is here, and give the learner its next order."""
        orders = self._orders
        for query in list(orders.queries):
            if self._has_base(query):
                orders.queries.remove(query)
                self._tell_counts(query)
        while not self._desk.is_working and orders.waiting and self._has_base(orders.waiting[0]):
            self._give(orders.waiting.popleft())

    def _has_base(self, parcel: Parcel) -> bool:
        if not parcel.base or self._bases.path(parcel.base).exists():
            return True
        self._parcels.want(parcel.base, parcel.until)
        return False

    def _tell_counts(self, query: Parcel) -> None:
        try:
            counts = self._count(query.base)
        except SplitsightError as error:
            self.refuse(query.id, Refusal(FAILED, error.message))
            return
        self.offer("counts", counts.encode(), query.id)

    def _give(self, order: Parcel) -> None:
        try:
            labelled = self._count(order.base).parts
        except SplitsightError as error:
            self.refuse(order.id, Refusal(FAILED, error.message))
            return
        refusal = self._admission.too_few(labelled)
        if refusal is not None:
            self.refuse(order.id, refusal)
            return
        self._desk.give(order)

    def _tick(self) -> None:
        self._parcels.tick()
        now = self._clock.monotonic()
        orders = self._orders
        orders.queries = [query for query in orders.queries if query.until > now]
        orders.waiting = deque(order for order in orders.waiting if order.until > now)
        if self._desk.tick():
            self._move_on()

    def refuse(self, about: str, refusal: Refusal) -> None:
        """An order comes to nothing, and the coordinator is told why."""
        self._health.count("orders_refused")
        log.warning("order_refused", order=about[:64], reason=refusal.reason)
        self.offer("refusal", refusal.encode(), about)

    def offer(self, what: ParcelKind, payload: bytes, about: str) -> None:
        """An answer to an order or a query."""
        until = self._clock.monotonic() + LATE_S
        self._parcels.offer(Parcel(uuid.uuid4().hex, what, payload, until, about=about))

    def _say(self, message: RoundPiece | RoundAsk, body: bytes = b"") -> None:
        self._transport.publish(self._out, encode(message, body))
