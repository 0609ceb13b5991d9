"""The small interface that both ends talk through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from shared.errors import TransportError

MAX_MESSAGE = 1 << 20


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it arrived.

    properties   MQTT 5 user properties, such as `traceparent`
    retained     the broker kept it from before we subscribed: it was not said just now
    """

    topic: str
    payload: bytes
    properties: Mapping[str, str] = field(default_factory=dict)
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when this side vanishes without a goodbye."""

    topic: str
    payload: bytes


def require_size(payload: bytes) -> None:
    """Raises TransportError for a message that brokers drop, and their client with it."""
    if len(payload) > MAX_MESSAGE:
        raise TransportError(
            f"a message of {len(payload)} B can't be sent", fix=f"at most {MAX_MESSAGE} B can"
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

        expires_s   the broker drops it undelivered after this many seconds
        Raises TransportError where the broker is not connected or the message is too large.
        """

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Call `handler` for each message, now and after every reconnect."""

    def on_connection(self, handler: ConnectionHandler) -> None:
        """Call `handler(True)` after each connect, `handler(False)` after each loss."""
