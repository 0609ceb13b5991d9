"""Messages by kind: decoded once for all who listen, and warned of once where they are not ours."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from shared.errors import WireError
from shared.topics import Address, everyone
from shared.transport.base import Arrival, ignore, subscribe
from shared.transport.memory import MemoryBroker, MemoryTransport
from shared.wire import Receipt, StateMessage, encode

BOX = Address("plant", "line", "box")
STATES = everyone("state")
SAID = encode(StateMessage("online", "b1", 1.0))


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[Arrival[StateMessage]] = []
        self.cleared: list[Address] = []
        self.refused = 0

    def hear(self, arrival: Arrival[StateMessage]) -> None:
        self.heard.append(arrival)

    def refuse(self) -> None:
        self.refused += 1


@pytest.fixture
def transport() -> MemoryTransport:
    made = MemoryBroker().transport()
    made.start()
    return made


def test_all_who_listen_get_the_same_message_decoded_once(transport: MemoryTransport) -> None:
    one, two = Listener(), Listener()
    subscribe(transport, STATES, StateMessage, one.hear)
    subscribe(transport, STATES, StateMessage, two.hear)
    transport.publish(BOX.topic("state"), SAID + b"body", properties={"traceparent": "00"})
    (arrival,) = one.heard
    assert two.heard[0] is arrival
    assert (arrival.address, arrival.channel) == (BOX, "state")
    assert (arrival.message.boot, arrival.body) == ("b1", b"body")
    assert dict(arrival.properties) == {"traceparent": "00"}
    assert not arrival.retained


def test_what_was_said_before_is_marked(transport: MemoryTransport) -> None:
    transport.publish(BOX.topic("state"), SAID, retain=True)
    late = Listener()
    subscribe(transport, STATES, StateMessage, late.hear)
    assert late.heard[0].retained


@pytest.mark.parametrize("payload", [b"", b"junk", encode(Receipt("b1", 1))])
def test_a_bad_message_is_warned_of_once_and_told_to_each(
    transport: MemoryTransport, payload: bytes
) -> None:
    listeners = [Listener(), Listener()]
    for one in listeners:
        subscribe(transport, STATES, StateMessage, one.hear, refused=one.refuse)
    with capture_logs() as logs:
        transport.publish(BOX.topic("state"), payload)
    (entry,) = logs
    assert (entry["event"], entry["topic"]) == ("bad_message", BOX.topic("state"))
    assert [one.refused for one in listeners] == [1, 1]
    assert [one.heard for one in listeners] == [[], []]


def test_a_topic_that_is_not_ours_is_a_bad_message(transport: MemoryTransport) -> None:
    one = Listener()
    subscribe(transport, "#", StateMessage, one.hear)
    with capture_logs() as logs:
        transport.publish("plant/box/state", SAID)
    assert [entry["event"] for entry in logs] == ["bad_message"]
    assert not one.heard


def test_a_handler_may_refuse_what_is_not_as_agreed(transport: MemoryTransport) -> None:
    strict, lax = Listener(), Listener()

    def hear(arrival: Arrival[StateMessage]) -> None:
        raise WireError(f"{arrival.message.boot} is not agreed", fix="agree")

    subscribe(transport, STATES, StateMessage, hear, refused=strict.refuse)
    subscribe(transport, STATES, StateMessage, lax.hear, refused=lax.refuse)
    with capture_logs() as logs:
        transport.publish(BOX.topic("state"), SAID)
    assert [entry["reason"] for entry in logs] == ["b1 is not agreed; agree"]
    assert (strict.refused, lax.refused, len(lax.heard)) == (1, 0, 1)


def test_clearing_is_told_to_who_wants_to_know(transport: MemoryTransport) -> None:
    one, two = Listener(), Listener()
    subscribe(transport, STATES, StateMessage, one.hear, cleared=one.cleared.append)
    subscribe(transport, STATES, StateMessage, two.hear, cleared=ignore, refused=two.refuse)
    with capture_logs() as logs:
        transport.publish(BOX.topic("state"), b"", retain=True)
    assert one.cleared == [BOX]
    assert not logs
    assert two.refused == 0
