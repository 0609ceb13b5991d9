"""The small interface that both ends talk through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from shared.errors import TransportError, WireError
from shared.log import get_logger
from shared.topics import Address, Channel, parse
from shared.transport.limit import MAX_MESSAGE
from shared.wire import Message, decode, require_kind

log = get_logger("transport")

M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)


@dataclass(frozen=True, slots=True)
class Arrival(Generic[M]):
    """A message of ours.

    address      of the device whose `channel` it came on
    properties   MQTT 5 user properties, such as `traceparent`
    retained     the broker kept it from before we subscribed: it was not said just now
    """

    address: Address
    channel: Channel
    message: M
    body: bytes
    properties: Mapping[str, str]
    retained: bool

    def of(self, kind: type[N]) -> Arrival[N]:
        """The same of a kind that was not known before. Raises WireError where it is another."""
        return Arrival(
            self.address,
            self.channel,
            require_kind(self.message, kind),
            self.body,
            self.properties,
            self.retained,
        )


def _warn(delivery: Delivery, error: WireError) -> None:
    log.warning("bad_message", topic=delivery.topic[:300], reason=str(error))


@dataclass(frozen=True, slots=True)
class Delivery:
    """A payload as it arrived. All who listen get the same one; for the transport's thread.

    report   tells people that it is not as agreed
    """

    topic: str
    payload: bytes
    properties: Mapping[str, str] = field(default_factory=dict)
    retained: bool = False
    report: Callable[[Delivery, WireError], None] = field(default=_warn, repr=False, compare=False)
    _read: dict[type[Message], Arrival[Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _refused: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def arrival(self, kind: type[M]) -> Arrival[M]:
        """The message, decoded once. Raises WireError where it, or its topic, is not ours."""
        if kind not in self._read:
            found = *parse(self.topic), *decode(self.payload, kind)
            self._read[kind] = Arrival(*found, self.properties, self.retained)
        return self._read[kind]

    def refuse(self, error: WireError) -> None:
        """Warn that it is not as agreed: once, however many find it."""
        if error.message not in self._refused:
            self._refused.add(error.message)
            self.report(self, error)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when this side vanishes without a goodbye."""

    topic: str
    payload: bytes


def require_size(payload: bytes, most: int = MAX_MESSAGE) -> None:
    """Raises TransportError for a message that brokers drop, and their client with it."""
    if len(payload) > most:
        raise TransportError(
            f"a message of {len(payload)} B can't be sent", fix=f"at most {most} B can"
        )


Handler = Callable[[Delivery], None]
ConnectionHandler = Callable[[bool], None]


class Transport(Protocol):
    """Publish and subscribe with at-least-once delivery while connected.

    Nothing is queued here while the broker is away: what must not be lost waits in the caller's
    own journal. Handlers run on the transport's thread and must not block it.
    """

    @property
    def connected(self) -> bool:
        """Whether the broker would take a message now."""

    @property
    def max_payload(self) -> int:
        """Bytes of the largest message that the broker surely takes, as far as it is known."""

    @property
    def problems(self) -> Mapping[str, str]:
        """Why messages do not come or go as they should: about what, and a sentence."""

    def start(self, will: Will | None = None) -> None:
        """Connect, and reconnect for ever after. Returns at once."""

    def stop(self, goodbye: Will | None = None) -> None:
        """Publish `goodbye` retained, then disconnect cleanly. May be called twice."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_s: float | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Hand a message to the broker at QoS 1.

        expires_s   the broker drops it undelivered after this many seconds, counted in whole
                    ones, and it is not said again where the connection is lost before it is
                    acknowledged; without, that is done for two seconds
        Raises TransportError where the broker is not connected or takes no message so large.
        """

    def subscribe(self, topic_filter: str, handler: Handler, *, own: bool = True) -> None:
        """Call `handler` for each message, now and after every reconnect.

        own   for what we publish ourselves, too
        """

    def on_connection(self, handler: ConnectionHandler) -> None:
        """Call `handler(True)` after each connect, `handler(False)` after each loss."""


class LeavingTransport(Transport, Protocol):
    """One that can stop listening, too."""

    def unsubscribe(self, topic_filter: str) -> None:
        """Call no handler of this filter any more, and take nothing of a shared one's."""


T = TypeVar("T", bound=Transport)


class TransportView(Generic[T]):
    """A transport that stands before another one, and does as that does where it says no more."""

    def __init__(self, transport: T) -> None:
        self._transport = transport

    @property
    def connected(self) -> bool:
        return self._transport.connected

    @property
    def max_payload(self) -> int:
        return self._transport.max_payload

    @property
    def problems(self) -> Mapping[str, str]:
        return self._transport.problems

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_s: float | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._transport.publish(
            topic, payload, retain=retain, expires_s=expires_s, properties=properties
        )

    def subscribe(self, topic_filter: str, handler: Handler, *, own: bool = True) -> None:
        self._transport.subscribe(topic_filter, handler, own=own)

    def on_connection(self, handler: ConnectionHandler) -> None:
        self._transport.on_connection(handler)


def ignore(_address: Address) -> None:
    """For what was retained and is cleared where nothing follows from that."""


def subscribe(
    transport: Transport,
    topic_filter: str,
    kind: type[M],
    handler: Callable[[Arrival[M]], None],
    *,
    cleared: Callable[[Address], None] | None = None,
    refused: Callable[[], None] = lambda: None,
    own: bool = True,
) -> None:
    """Call `handler` for each message of one kind, now and after every reconnect.

    handler   raises WireError for what is not as agreed, and the message has no other effect
    cleared   called where an empty payload clears what was retained; else that is not as agreed
    refused   called for what is not as agreed, which is logged as `bad_message`
    own       what we publish ourselves comes back, too
    """

    def arrived(delivery: Delivery) -> None:
        try:
            if cleared is not None and not delivery.payload:
                cleared(parse(delivery.topic)[0])
            else:
                handler(delivery.arrival(kind))
        except WireError as error:
            delivery.refuse(error)
            refused()

    transport.subscribe(topic_filter, arrived, own=own)
