"""A grid over the fleet's MQTT: the same connection, the same certificate, no second port.

Each device has a channel for orders and one for answers under its own prefix;
`shared.federation.parcels` carries both over connections that break. Who is there is
what devices say of themselves. Of an answer only its content counts: which
order it answers, and whose it is, follow from the topic that it came on.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import ConfigRecord, Error, Message, MessageType, RecordDict

from fleet.rounds.grids.base_grid import OwnGrid
from shared.clock import Clock, SystemClock
from shared.errors import FederationError, SplitsightError, WireError
from shared.federation.flower_private import message_from_bytes, message_to_bytes
from shared.federation.parcels import Parcel, Parcels
from shared.federation.protocol import CONFIG, COUNTS, FAILED, GONE, Refusal, node_of
from shared.log import get_logger
from shared.topics import Address, everyone, parse
from shared.transport.base import Delivery, Transport
from shared.wire import (
    ParcelKind,
    RoundAsk,
    RoundMessage,
    RoundOver,
    RoundPiece,
    StateMessage,
    decode,
    encode,
)
from shared.worker import Worker

log = get_logger("rounds")

TICK_S = 0.1
SETTLE_S = 0.5
CONNECT_S = 10.0
GRACE_S = 8.0
FAREWELL_S = 0.3
FORGET_S = 600.0
STOP_S = 10.0
DEFAULT_TIMEOUT_S = 3600.0
ACCEPTS: frozenset[ParcelKind] = frozenset({"counts", "answer", "refusal"})


@dataclass(slots=True)
class _Peer:
    """A device.

    gone_at   monotonic seconds since which it is away, None while it is there
    boot      of its agent: another one knows nothing of the orders before it
    """

    address: Address
    node: int
    parcels: Parcels
    boot: str = ""
    gone_at: float | None = None


@dataclass(slots=True)
class _Order:
    """A message that waits for its answer."""

    message: Message
    parcel: Parcel


@dataclass(slots=True)
class _Shared:
    """What callers and the grid's thread both touch, under one lock."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    replies: dict[str, Message] = field(default_factory=dict)
    nodes: dict[int, str] = field(default_factory=dict)


class MqttGrid(OwnGrid):
    """Reaches the devices whose agents are connected to the broker.

    base   the network that devices fetch once, before they count or learn; None: they need none
    grace  seconds for which a device may be away before its answer is given up
    """

    def __init__(
        self,
        transport: Transport,
        *,
        base: Path | None = None,
        grace_s: float = GRACE_S,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._transport = transport
        self._clock = clock or SystemClock()
        self._grace_s = grace_s
        self._session = uuid.uuid4().hex
        self._base = base.read_bytes() if base is not None else b""
        self._base_id = hashlib.sha256(self._base).hexdigest() if self._base else ""
        self._shared = _Shared()
        self._peers: dict[int, _Peer] = {}
        self._orders: dict[str, _Order] = {}
        self._heard: queue.SimpleQueue[Delivery | Message | bool | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._connected = threading.Event()
        # Without this thread no answer would ever come.
        self._worker = Worker(
            "grid",
            self._work_on,
            on_death=self._died,
            retry_s=TICK_S,
            unblock=lambda: self._heard.put(None),
        )
        self._settled = False

    def open(self) -> MqttGrid:
        """Connect. Raises FederationError where the broker does not answer."""
        self._transport.subscribe(everyone("state"), self._heard.put)
        self._transport.subscribe(everyone("answer"), self._heard.put)
        self._transport.on_connection(self._connection_changed)
        self._worker.start()
        self._transport.start()
        if not self._connected.wait(CONNECT_S):
            self.close()
            raise FederationError(
                f"the broker did not answer within {CONNECT_S:g} s", fix="check `mqtt.broker`"
            )
        return self

    def close(self) -> None:
        """Tell devices that no more orders follow, and disconnect. May be called twice."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._worker.stop(STOP_S)
            for peer in list(self._peers.values()):
                with contextlib.suppress(SplitsightError):
                    self._transport.publish(
                        peer.address.topic("round"), encode(RoundOver(self._session))
                    )
            if self._transport.connected and self._peers:
                # A disconnection overtakes what was just published.
                threading.Event().wait(FAREWELL_S)
        self._transport.stop()

    def traffic(self) -> dict[str, tuple[int, int]]:
        """Bytes to and from each device, by its name, repeated ones included."""
        return {
            peer.address.device: (peer.parcels.bytes_out, peer.parcels.bytes_in)
            for peer in self._peers.values()
        }

    def get_node_ids(self) -> Iterable[int]:
        """Devices that say that they are there."""
        if not self._settled:
            # What the broker has retained arrives after the connection.
            self._stopped.wait(SETTLE_S)
            self._settled = True
        with self._shared.changed:
            return sorted(self._shared.nodes)

    def wait(self, seconds: float) -> bool:
        """True also where nothing has changed: a device that was there may have labels now."""
        with self._shared.changed:
            before = dict(self._shared.nodes)
            self._shared.changed.wait_for(
                lambda: self._stopped.is_set() or self._shared.nodes != before, seconds
            )
        return not self._stopped.is_set()

    def name_of(self, node: int) -> str:
        peer = self._peers.get(node)
        return peer.address.device if peer is not None else ""

    def _bring(self, message: Message) -> None:
        self._heard.put(message)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = self._shared.replies
        with self._shared.changed:
            return [replies.pop(id_) for id_ in message_ids if id_ in replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """What has not come after `timeout` seconds can still be pulled later."""
        wait_s = DEFAULT_TIMEOUT_S if timeout is None else timeout
        letters = list(messages)
        for letter in letters:
            letter.metadata.ttl = wait_s
        ids = list(self.push_messages(letters))
        replies = self._shared.replies
        with self._shared.changed:
            self._shared.changed.wait_for(
                lambda: self._stopped.is_set() or all(id_ in replies for id_ in ids), wait_s
            )
        return self.pull_messages(ids)

    def work(self, wait_s: float = 0.0) -> None:
        """Do what has come, then what is due; the grid's thread does it all the time."""
        with contextlib.suppress(queue.Empty):
            self._hear(self._heard.get(timeout=wait_s) if wait_s else self._heard.get_nowait())
            while True:
                self._hear(self._heard.get_nowait())
        for peer in self._peers.values():
            peer.parcels.tick()
        self._give_up_absent()
        self._forget()

    def _work_on(self) -> float:
        self.work(TICK_S)
        return 0.0

    def _died(self, _name: str, _error: BaseException) -> None:
        """Whoever waits for an answer waits for nothing."""
        self._stopped.set()
        with self._shared.changed:
            self._shared.changed.notify_all()

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - ConnectionHandler
        if connected:
            self._connected.set()
        self._heard.put(connected)

    def _hear(self, heard: Delivery | Message | bool | None) -> None:  # noqa: FBT001 - of a queue
        match heard:
            case Message():
                self._send(heard)
            case Delivery():
                try:
                    self._arrived(heard)
                except SplitsightError as error:
                    log.warning("malformed", topic=heard.topic[:300], reason=error.message)
            case True:
                for peer in self._peers.values():
                    peer.parcels.hurry()
            case _:
                pass

    def _send(self, message: Message) -> None:
        meta = message.metadata
        peer = self._peers.get(meta.dst_node_id)
        counts_only = meta.message_type == MessageType.QUERY and not message.content
        parcel = Parcel(
            meta.message_id,
            "query" if counts_only else "order",
            b"" if counts_only else message_to_bytes(message),
            self._clock.monotonic() + meta.ttl,
            session=self._session,
            base=self._base_id,
        )
        self._orders[parcel.id] = _Order(message, parcel)
        if peer is None:
            self._answer(parcel.id, Error(GONE, "no such device has been seen"))
        else:
            peer.parcels.offer(parcel)

    def _arrived(self, delivery: Delivery) -> None:
        address, channel = parse(delivery.topic)
        if channel == "state":
            self._state_changed(address, delivery.payload)
            return
        peer = self._peers.get(node_of(address.device))
        if peer is None or peer.address != address:
            raise WireError(f"{address.device} has never said that it is there")
        message, body = decode(delivery.payload, RoundMessage)
        match message:
            case RoundPiece():
                self._take(peer, message, body)
            case RoundAsk():
                refused = peer.parcels.ask(message)
                if refused:
                    # Why, follows as a parcel of its own.
                    log.info("order_refused", device=address.device, reason=refused)

    def _take(self, peer: _Peer, message: RoundPiece, body: bytes) -> None:
        order = self._orders.get(message.about)
        theirs = order is not None and order.message.metadata.dst_node_id == peer.node
        if peer.parcels.is_new(message.parcel) and not theirs:
            peer.parcels.refuse(message.parcel, "nobody waits for this answer")
            return
        parcel = peer.parcels.part(message, body)
        if parcel is not None and order is not None and theirs:
            self._answer(parcel.about, _content(parcel))

    def _answer(self, about: str, content: RecordDict | Error) -> None:
        order = self._orders.pop(about)
        reply: Message = Message(content, reply_to=order.message)
        node = order.message.metadata.dst_node_id
        self._stamped(reply, node)
        if node in self._peers:
            self._peers[node].parcels.forget(about)
        with self._shared.changed:
            self._shared.replies[about] = reply
            self._shared.changed.notify_all()

    def _state_changed(self, address: Address, payload: bytes) -> None:
        node = node_of(address.device)
        state = decode(payload, StateMessage)[0] if payload else None
        there = state is not None and state.state == "online"
        peer = self._peers.get(node)
        if peer is None or peer.address != address:
            if not there:
                return
            peer = self._peers[node] = self._new_peer(address, node)
        if state is not None and there:
            if peer.boot and peer.boot != state.boot:
                self._offer_again(peer)
            elif peer.gone_at is not None:
                peer.parcels.hurry()
            peer.boot, peer.gone_at = state.boot, None
        elif peer.gone_at is None:
            peer.gone_at = self._clock.monotonic()
        with self._shared.changed:
            if there:
                self._shared.nodes[node] = address.device
            else:
                self._shared.nodes.pop(node, None)
            self._shared.changed.notify_all()

    def _new_peer(self, address: Address, node: int) -> _Peer:
        topic = address.topic("round")

        def say(message: RoundPiece | RoundAsk, body: bytes = b"") -> None:
            self._transport.publish(topic, encode(message, body))

        transport = self._transport
        parcels = Parcels(say, self._clock, ACCEPTS, lambda: transport.max_payload)
        if self._base:
            parcels.hold(Parcel(self._base_id, "base", self._base, float("inf")))
        return _Peer(address, node, parcels)

    def _offer_again(self, peer: _Peer) -> None:
        """Its agent was started again, and knows nothing of what it had been told."""
        now = self._clock.monotonic()
        for order in self._open_orders(peer.node):
            if order.parcel.until > now:
                peer.parcels.offer(order.parcel)

    def _give_up_absent(self) -> None:
        now = self._clock.monotonic()
        for peer in self._peers.values():
            if peer.gone_at is None or now - peer.gone_at < self._grace_s:
                continue
            for order in self._open_orders(peer.node):
                away = f"it has been offline for {now - peer.gone_at:.0f} s"
                self._answer(order.parcel.id, Error(GONE, away))

    def _open_orders(self, node: int) -> list[_Order]:
        return [
            order for order in self._orders.values() if order.message.metadata.dst_node_id == node
        ]

    def _forget(self) -> None:
        """Orders so long overdue that even a late answer tells nothing."""
        now = self._clock.monotonic()
        old = [id_ for id_, order in self._orders.items() if now > order.parcel.until + FORGET_S]
        for id_ in old:
            del self._orders[id_]


def _content(parcel: Parcel) -> RecordDict | Error:
    """What a device says. Anything that can't be read is an error of that device alone."""
    try:
        match parcel.what:
            case "counts":
                return RecordDict({CONFIG: ConfigRecord({COUNTS: parcel.payload})})
            case "refusal":
                refusal = Refusal.decode(parcel.payload)
                return Error(refusal.code, refusal.reason)
            case _:
                return _content_of(message_from_bytes(parcel.payload))
    except (WireError, ValueError) as error:
        return Error(FAILED, f"its answer can't be read ({error})")


def _content_of(message: Message) -> RecordDict | Error:
    return message.error if message.has_error() else message.content
