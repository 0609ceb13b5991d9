"""What a broker takes: its own words in CONNACK, and what it refused since."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import TransportError

MAX_MESSAGE = 1 << 20
MAX_PACKET = 268_435_460
ALL_IN_FLIGHT = 65_535
LEARNED_S = 600.0
ENVELOPE = 512
"""Bytes that are left for a topic and properties where only a payload's size is known."""


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """MQTT 5.0, section 3.2.2.3; what is not said is allowed.

    packet      bytes of the largest packet, fixed header included
    in_flight   messages that may wait for their acknowledgement
    qos         the highest quality of service
    retains     whether the broker keeps retained messages
    keepalive   seconds, where the broker wants others than we asked for
    client_id   that the broker has given us, where we brought none
    wildcards   whether a subscription may have `+` and `#`
    shares      whether a subscription may be shared
    """

    packet: int = MAX_PACKET
    in_flight: int = ALL_IN_FLIGHT
    qos: int = 2
    retains: bool = True
    keepalive: int | None = None
    client_id: str = ""
    wildcards: bool = True
    shares: bool = True

    @classmethod
    def of(cls, properties: object) -> BrokerLimits:
        """From the properties of a CONNACK, as paho names them."""

        def said(name: str, otherwise: Any) -> Any:
            return getattr(properties, name, otherwise)

        return cls(
            packet=int(said("MaximumPacketSize", MAX_PACKET)),
            in_flight=max(1, int(said("ReceiveMaximum", ALL_IN_FLIGHT))),
            qos=int(said("MaximumQoS", 2)),
            retains=bool(said("RetainAvailable", 1)),
            keepalive=said("ServerKeepAlive", None),
            client_id=str(said("AssignedClientIdentifier", "")),
            wildcards=bool(said("WildcardSubscriptionAvailable", 1)),
            shares=bool(said("SharedSubscriptionAvailable", 1)),
        )

    @property
    def payload(self) -> int:
        """Bytes of a payload that surely fit."""
        return max(0, min(MAX_MESSAGE, self.packet - ENVELOPE))

    def require_taken(
        self,
        topic: str,
        payload: bytes,
        *,
        expires: bool = False,
        properties: Mapping[str, str] | None = None,
        refused: float = math.inf,
    ) -> None:
        """Raises TransportError for a message that the broker does not take, naming both sizes.

        refused   bytes of a payload that it refused before
        """
        size = packet_size(topic, payload, expires=expires, properties=properties)
        most: float = self.packet
        if len(payload) >= refused:
            size, most = len(payload), refused - 1
        if size > most:
            raise TransportError(
                f"a message of {size} B on {topic} is larger than the {most:.0f} B that the "
                "broker takes",
                fix="raise the broker's limit: `max_packet_size` in Mosquitto, or "
                "`message_size_limit`",
            )

    @property
    def shortcomings(self) -> dict[str, str]:
        """What this product needs and the broker does not have, by what it is about."""
        found = {}
        if self.qos < 1:
            found["broker quality"] = (
                "the broker takes QoS 0 only: what it loses is said again later, or never"
            )
        if not self.retains:
            found["broker retained"] = (
                "the broker keeps no retained messages: who connects later does not learn the "
                "state of boxes, nor boxes what they should run"
            )
        if not self.wildcards:
            found["broker wildcards"] = (
                "the broker has no wildcard subscriptions: a cloud needs them"
            )
        if not self.shares:
            found["broker shares"] = "the broker has no shared subscriptions: a cloud needs them"
        return found


def packet_size(
    topic: str, payload: bytes, *, expires: bool, properties: Mapping[str, str] | None
) -> int:
    """Bytes of the PUBLISH that carries it at QoS 1 (MQTT 5.0, section 3.3)."""
    said = sum(5 + len(k.encode()) + len(v.encode()) for k, v in (properties or {}).items())
    said += 5 if expires else 0
    rest = 2 + len(topic.encode()) + 2 + _length(said) + said + len(payload)
    return 1 + _length(rest) + rest


def _length(number: int) -> int:
    """Bytes of a variable byte integer."""
    return next(n for n in range(1, 6) if number < 128**n)


class LearnedSize:
    """What a broker refused as too large without having said so before. For one thread at a time.

    A broker may have been set up otherwise since, so it is believed for LEARNED_S only.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._refused = math.inf
        self._taken = 0
        self._until = -math.inf

    def taken(self, size: int) -> None:
        """A payload of so many bytes was acknowledged."""
        self._taken = max(self._taken, size)

    def refuse(self, size: int) -> None:
        """A payload of so many bytes was refused, or ended the connection."""
        now = self._monotonic()
        self._refused = min(size, self._refused) if now < self._until else size
        self._taken = min(self._taken, size - 1)
        self._until = now + LEARNED_S

    @property
    def refused(self) -> float:
        """Bytes from which on a payload is refused; infinity where none was."""
        return self._refused if self._monotonic() < self._until else math.inf

    @property
    def payload(self) -> float:
        """Bytes of a payload that should fit: what was taken before, or half of what was not."""
        return self.refused if math.isinf(self.refused) else max(self._taken, self.refused // 2)
