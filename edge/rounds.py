"""A device's part in federated rounds: orders in, the learner started and held back, answers out.

Everything comes and goes over the agent's one connection, in pieces. The agent itself can't
learn: a process does, and only while there is an order.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edge.admission import Admission, Bases, Limits, available_memory
from edge.health import Health
from edge.learner_process import Done, Gone, Heard, Learner, OpenLearner, Task
from edge.throttle import Throttle
from shared.clock import Clock
from shared.errors import SplitsightError, WireError
from shared.log import get_logger
from shared.parcels import MEBI, Parcel, Parcels
from shared.rounds import FAILED, NOT_NOW, Counts, Refusal
from shared.topics import Address
from shared.transport.base import Delivery, Transport
from shared.wire import ParcelKind, RoundAsk, RoundMessage, RoundOver, RoundPart, decode, encode

log = get_logger("rounds")

TICK_S = 0.1
LINGER_S = 20.0
HOLD_S = 1800.0
"""A learner that keeps an update for a secure sum waits so long for the slowest device."""
LATE_S = 60.0
MOST_WAITING = 16
ACCEPTS: frozenset[ParcelKind] = frozenset({"query", "order", "base"})


class CountsLabels(Protocol):
    """Counts this device's labels, for the base network of this sha256. Raises SplitsightError."""

    def __call__(self, base: str) -> Counts: ...


@dataclass(slots=True)
class _Working:
    """An order that the learner works on."""

    order: Parcel
    message: Path


@dataclass(frozen=True, slots=True)
class _From:
    """What a learner said; `serial` tells it from the one before it."""

    serial: int
    heard: Heard


@dataclass(slots=True)
class _Desk:
    """What is under way. For the thread that works alone.

    serial   of the learner that is heard; what an earlier one says late means nothing
    """

    session: str = ""
    waiting: deque[Parcel] = field(default_factory=deque)
    working: _Working | None = None
    queries: list[Parcel] = field(default_factory=list)
    learner: Learner | None = None
    serial: int = 0
    paused: bool = False
    idle_since: float = 0.0
    holds: bool = False


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
        limits: Limits,
        *,
        count: CountsLabels,
        open: OpenLearner,  # noqa: A002 - as Path.open
        ready: Callable[[], None],
        throttle: Throttle,
        clock: Clock,
        health: Health,
        free_memory: Callable[[], int] | None = None,
    ) -> None:
        self._transport = transport
        self._in = address.topic("round")
        self._out = address.topic("answer")
        self._limits = limits
        self._count = count
        self._open = open
        self._throttle = throttle
        self._clock = clock
        self._health = health
        self._admission = Admission(limits, ready, free_memory or available_memory)
        self._bases = Bases(limits.folder / "bases")
        self._parcels = Parcels(self._say, clock, ACCEPTS)
        self._desk = _Desk()
        self._heard: queue.SimpleQueue[Delivery | _From | bool | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

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
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and the learner with it. May be called without `start`."""
        self._stopped.set()
        self._heard.put(None)
        if self._thread is not None:
            self._thread.join()

    @property
    def is_idle(self) -> bool:
        """Whether there is no learner and nothing to send or fetch."""
        desk = self._desk
        at_rest = desk.learner is None and desk.working is None
        return at_rest and not desk.waiting and not desk.queries and self._parcels.is_idle

    def work(self, wait_s: float | None = 0.0) -> None:
        """Do what has come, then what is due. wait_s: for something to come; None for ever."""
        with contextlib.suppress(queue.Empty):
            self._hear(
                self._heard.get(timeout=wait_s) if wait_s else self._heard.get(wait_s is None)
            )
            while True:
                self._hear(self._heard.get_nowait())
        self._tick()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.work(None if self.is_idle else TICK_S)
            except Exception:
                # Without this thread the device would never answer again.
                log.exception("rounds_failed")
        self._let_go()

    def _hear(self, heard: Delivery | _From | bool | None) -> None:  # noqa: FBT001 - of a queue
        match heard:
            case Delivery():
                self._arrived(heard)
            case _From(serial, Done() as done) if serial == self._desk.serial:
                self._done(done)
            case _From(serial, Gone() as gone) if serial == self._desk.serial:
                self._gone(gone)
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
            case RoundPart():
                self._take(message, body)
            case RoundAsk():
                self._parcels.ask(message)
            case RoundOver() if message.session == self._desk.session:
                self._let_go()

    def _take(self, message: RoundPart, body: bytes) -> None:
        new = self._parcels.is_new(message.parcel)
        if message.what == "base" and (new or message.sha256 != message.parcel):
            self._parcels.refuse(message.parcel, "this base network was not asked for")
            return
        if message.what != "base" and new:
            refusal = self._refusal(message)
            if refusal is not None:
                self._parcels.refuse(message.parcel, refusal.reason)
                self._refuse(message.parcel, refusal)
                return
        parcel = self._parcels.part(message, body)
        if parcel is None:
            return
        match parcel.what:
            case "base":
                self._bases.keep(parcel.id, parcel.payload)
            case "query":
                self._desk.queries.append(parcel)
            case _:
                self._begin_session(parcel.session)
                self._desk.waiting.append(parcel)
        self._move_on()

    def _refusal(self, message: RoundPart) -> Refusal | None:
        """Why this device does not even take an order; None where it does."""
        refusal = self._admission.refusal()
        if refusal is not None or message.what == "query":
            return refusal
        if len(self._desk.waiting) >= MOST_WAITING:
            return Refusal(NOT_NOW, f"{MOST_WAITING} orders wait already")
        return self._admission.lack(message.size, learner_runs=self._desk.learner is not None)

    def _begin_session(self, session: str) -> None:
        """Another coordinator, or the same one started again: what the last one asked is over."""
        desk = self._desk
        if session != desk.session:
            desk.waiting.clear()
            if desk.working is not None:
                self._let_go()
            desk.session = session

    def _move_on(self) -> None:
        """Answer queries whose base is here, and give the learner its next order."""
        desk = self._desk
        for query in list(desk.queries):
            if self._has_base(query):
                desk.queries.remove(query)
                self._tell_counts(query)
        while desk.working is None and desk.waiting and self._has_base(desk.waiting[0]):
            self._give(desk.waiting.popleft())

    def _has_base(self, parcel: Parcel) -> bool:
        if not parcel.base or self._bases.path(parcel.base).exists():
            return True
        self._parcels.want(parcel.base, parcel.until)
        return False

    def _tell_counts(self, query: Parcel) -> None:
        try:
            counts = self._count(query.base)
        except SplitsightError as error:
            self._refuse(query.id, Refusal(FAILED, error.message))
            return
        self._offer("counts", counts.encode(), query.id)

    def _give(self, order: Parcel) -> None:
        desk = self._desk
        try:
            labelled = self._count(order.base).parts
        except SplitsightError as error:
            self._refuse(order.id, Refusal(FAILED, error.message))
            return
        refusal = self._admission.too_few(labelled)
        if refusal is not None:
            self._refuse(order.id, refusal)
            return
        message = self._limits.folder / f"{uuid.uuid4().hex}.order"
        try:
            message.parent.mkdir(parents=True, exist_ok=True)
            message.write_bytes(order.payload)
            if desk.learner is None:
                desk.serial += 1
                serial = desk.serial
                desk.learner = self._open(lambda heard: self._heard.put(_From(serial, heard)))
                desk.paused = False
        except OSError as error:
            message.unlink(missing_ok=True)
            self._refuse(order.id, Refusal(FAILED, f"its learner can't be started: {error}"))
            return
        desk.working = _Working(order, message)
        base = str(self._bases.path(order.base)) if order.base else ""
        desk.learner.give(Task(order.id, str(message), base))

    def _done(self, done: Done) -> None:
        desk = self._desk
        working = desk.working
        if working is None or working.order.id != done.id:
            return
        desk.working = None
        desk.idle_since = self._clock.monotonic()
        desk.holds = done.holds
        working.message.unlink(missing_ok=True)
        if done.problem:
            self._refuse(done.id, Refusal(FAILED, done.problem))
        else:
            answer = Path(done.answer)
            self._offer("answer", answer.read_bytes(), done.id)
            answer.unlink()
        self._move_on()

    def _gone(self, gone: Gone) -> None:
        """The learner has ended by itself, or somebody ended it."""
        desk = self._desk
        desk.learner = None
        self._give_up(f"its learner ended: {gone.how}")
        self._move_on()

    def _tick(self) -> None:
        self._parcels.tick()
        now = self._clock.monotonic()
        desk = self._desk
        desk.queries = [query for query in desk.queries if query.until > now]
        desk.waiting = deque(order for order in desk.waiting if order.until > now)
        if desk.learner is None:
            self._throttle.may_learn(wants=False)
            return
        if desk.working is not None and now >= desk.working.order.until:
            log.warning("round_overdue", order=desk.working.order.id)
            self._health.count("rounds_overdue")
            self._let_go()
            self._move_on()
        elif desk.learner.memory_bytes() > self._limits.memory_bytes:
            held = desk.learner.memory_bytes() // MEBI
            self._health.count("learner_too_large")
            self._end_learner()
            limit = self._limits.memory_bytes // MEBI
            self._give_up(f"its learner took {held} MB of memory, {limit} MB are allowed")
            self._move_on()
        elif desk.working is None and now - desk.idle_since >= self._patience_s:
            self._let_go()
        else:
            self._hold_back()

    @property
    def _patience_s(self) -> float:
        """How long a learner without work is kept."""
        return HOLD_S if self._desk.holds else LINGER_S

    def _hold_back(self) -> None:
        """Stop the learner where the line needs the machine, and let it go on afterwards."""
        desk = self._desk
        if desk.learner is None:
            return
        may = self._throttle.may_learn(wants=desk.working is not None)
        wait = desk.working is not None and not may
        if wait and not desk.paused:
            log.info("learner_paused", idle_p99_ms=self._throttle.idle_p99_ms)
            self._health.count("learner_pauses")
            desk.learner.pause()
        elif desk.paused and not wait:
            desk.learner.go_on()
        desk.paused = wait

    def _give_up(self, reason: str) -> None:
        """What was under way comes to nothing, and the coordinator is told."""
        working, self._desk.working = self._desk.working, None
        if working is not None:
            working.message.unlink(missing_ok=True)
            self._refuse(working.order.id, Refusal(FAILED, reason))

    def _let_go(self) -> None:
        """End the learner; nobody waits for what it was doing."""
        desk = self._desk
        if desk.working is not None:
            desk.working.message.unlink(missing_ok=True)
            desk.working = None
        self._end_learner()

    def _end_learner(self) -> None:
        learner, self._desk.learner = self._desk.learner, None
        self._desk.serial += 1
        self._desk.holds = False
        if learner is not None:
            learner.end()

    def _refuse(self, about: str, refusal: Refusal) -> None:
        self._health.count("orders_refused")
        log.warning("order_refused", order=about[:64], reason=refusal.reason)
        self._offer("refusal", refusal.encode(), about)

    def _offer(self, what: ParcelKind, payload: bytes, about: str) -> None:
        until = self._clock.monotonic() + LATE_S
        self._parcels.offer(Parcel(uuid.uuid4().hex, what, payload, until, about=about))

    def _say(self, message: RoundPart | RoundAsk, body: bytes = b"") -> None:
        self._transport.publish(self._out, encode(message, body))
