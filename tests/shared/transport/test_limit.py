"""What a broker says that it takes, and what is learned from its refusals."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from shared.errors import TransportError
from shared.transport.limit import ENVELOPE, LEARNED_S, BrokerLimits, LearnedSize, packet_size

TOPIC = "splitsight/v1/plant/line/box/escalation"
words = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=40)


def test_what_a_broker_does_not_say_it_allows() -> None:
    assert BrokerLimits.of(SimpleNamespace()) == BrokerLimits()
    assert BrokerLimits().payload == 1 << 20
    assert not BrokerLimits().shortcomings


def test_what_a_broker_says_is_read() -> None:
    said = SimpleNamespace(
        MaximumPacketSize=8192,
        ReceiveMaximum=5,
        MaximumQoS=0,
        RetainAvailable=0,
        ServerKeepAlive=7,
        AssignedClientIdentifier="auto-1",
        WildcardSubscriptionAvailable=0,
        SharedSubscriptionAvailable=0,
    )
    limits = BrokerLimits.of(said)
    assert limits == BrokerLimits(8192, 5, 0, False, 7, "auto-1", False, False)
    assert limits.payload == 8192 - ENVELOPE
    assert len(limits.shortcomings) == 4


@given(words, st.binary(max_size=300), st.booleans(), st.dictionaries(words, words, max_size=3))
def test_a_packets_size_is_counted_as_it_is_written(
    topic: str, payload: bytes, expires: bool, said: dict[str, str]
) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    packed = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if expires:
        packed.MessageExpiryInterval = 1
    if said:
        packed.UserProperty = list(said.items())
    written: list[int] = []
    client._packet_queue = lambda _command, packet, *_: written.append(len(packet)) or 0  # type: ignore[assignment, func-returns-value]
    client._sock = client  # type: ignore[assignment]
    client._send_publish(1, topic.encode(), payload, 1, properties=packed)
    client._sock = None
    counted = packet_size(topic, payload, expires=expires, properties=said)
    assert counted == written[0]


@given(st.integers(600, 1 << 20), st.integers(0, 1 << 20))
def test_what_surely_fits_is_taken_and_the_error_names_both_sizes(packet: int, size: int) -> None:
    limits = BrokerLimits(packet=packet)
    limits.require_taken(
        TOPIC, bytes(limits.payload), expires=True, properties={"traceparent": 55 * "x"}
    )
    if size > packet:
        with pytest.raises(TransportError, match=f"{packet} B that the broker takes"):
            limits.require_taken(TOPIC, bytes(size))


@given(st.integers(256, 1 << 20), st.integers(1, 1 << 20))
def test_halving_ends_at_a_size_that_is_taken(limit: int, size: int) -> None:
    learned = LearnedSize(lambda: 0.0)
    tries = 0
    while size > limit:
        learned.refuse(size)
        assert learned.payload < size
        size = int(learned.payload)
        tries += 1
    learned.taken(size)
    assert tries <= 13
    assert tries == 0 or learned.payload >= limit // 2 - 1


def test_a_refused_size_is_tried_again_after_some_time() -> None:
    now = [0.0]
    learned = LearnedSize(lambda: now[0])
    learned.refuse(1000)
    assert learned.refused == 1000
    now[0] = LEARNED_S
    assert math.isinf(learned.refused)
    assert math.isinf(learned.payload)
