"""Just enough of MQTT 5 to find single messages in a stream of bytes.

Source: OASIS, MQTT Version 5.0, sections 2.1 (fixed header), 3.3 (PUBLISH) and 3.4 (PUBACK).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

CONNECT = 0x10
CONNACK = 0x20
PUBLISH = 0x30
PUBACK = 0x40
AUTH = 0xF0
DUP = 0x08
QOS_1 = 0x02
QOS_BITS = 0x06
LENGTH_BYTES = 4


def is_publish_qos_1(first: int) -> bool:
    """Whether a packet that begins with this byte is a message of QoS 1."""
    return first & 0xF0 == PUBLISH and first & QOS_BITS == QOS_1


def is_puback(first: int) -> bool:
    return first & 0xF0 == PUBACK


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """Some bytes of the stream, in order.

    whole   they are one packet that was asked for, complete
    ends    they end where a packet ends: another one may be put in after them
    """

    data: bytes
    whole: bool
    ends: bool

    @property
    def packet_id(self) -> int | None:
        """Of a whole PUBLISH of QoS 1 or a PUBACK, else None."""
        if not self.whole:
            return None
        body = _body_start(self.data)
        if is_puback(self.data[0]):
            return _uint16(self.data, body)
        if is_publish_qos_1(self.data[0]):
            topic_bytes = _uint16(self.data, body)
            return None if topic_bytes is None else _uint16(self.data, body + 2 + topic_bytes)
        return None

    def repeated(self) -> bytes:
        """The packet again, marked as a duplicate."""
        return bytes([self.data[0] | DUP]) + self.data[1:]


class Framer:
    """Cuts one direction of a connection into pieces without holding back what nobody asked for.

    wants   told a packet's first byte, whether it is to come out whole
    A stream that does not begin as MQTT does (TLS, say) or breaks its framing passes as it is.
    """

    def __init__(self, openings: frozenset[int], wants: Callable[[int], bool]) -> None:
        """openings: packet types with which the stream may begin, as the upper half of a byte."""
        self._openings = openings
        self._wants = wants
        self._begun = False
        self.opaque = False
        self.packets = 0
        self._held = bytearray()
        self._collecting = False
        self._length = 0
        self._length_bytes = 0
        self._missing: int | None = None
        self._between = True

    def feed(self, data: bytes) -> Iterator[StreamPiece]:
        """The pieces of the next bytes; together they are those bytes and what was held."""
        if not self._begun and data:
            self._begun = True
            self.opaque = data[0] & 0xF0 not in self._openings
        start = at = 0
        while at < len(data) and not self.opaque:
            if self._between:
                collects = self._wants(data[at])
                if collects and at > start:
                    yield StreamPiece(data[start:at], whole=False, ends=True)
                    start = at
                self._begin(collecting=collects)
                at += 1
            elif self._missing is None:
                self._read_length(data[at])
                at += 1
            else:
                taken = min(self._missing, len(data) - at)
                self._missing -= taken
                at += taken
            if self._missing == 0:
                self._between = True
                self.packets += 1
                if self._collecting:
                    self._held += data[start:at]
                    yield StreamPiece(bytes(self._held), whole=True, ends=True)
                    self._held.clear()
                    start = at
                    self._collecting = False
        yield from self._left(data[start:])

    def rest(self) -> bytes:
        """What was held when the stream ended in the middle of a packet."""
        held = bytes(self._held)
        self._held.clear()
        return held

    def _begin(self, *, collecting: bool) -> None:
        self._between = False
        self._collecting = collecting
        self._length = self._length_bytes = 0
        self._missing = None

    def _read_length(self, byte: int) -> None:
        self._length |= (byte & 0x7F) << (7 * self._length_bytes)
        self._length_bytes += 1
        if not byte & 0x80:
            self._missing = self._length
        elif self._length_bytes == LENGTH_BYTES:
            self.opaque = True

    def _left(self, data: bytes) -> Iterator[StreamPiece]:
        if self._collecting and not self.opaque:
            self._held += data
        elif data or self._held:
            yield StreamPiece(self.rest() + data, whole=False, ends=self._between)


def _body_start(packet: bytes) -> int:
    at = 1
    while packet[at] & 0x80:
        at += 1
    return at + 1


def _uint16(data: bytes, at: int) -> int | None:
    return int.from_bytes(data[at : at + 2], "big") if at + 2 <= len(data) else None
