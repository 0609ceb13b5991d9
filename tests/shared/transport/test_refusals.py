"""What a broker takes and refuses shapes what is sent, and is told by name: a real Mosquitto."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTErrorCode
from structlog.testing import capture_logs

from shared.errors import TransportError
from shared.transport.base import Delivery, Transport, Will
from shared.transport.mqtt import MqttTransport
from tests.support.brokers import CONNACK, at, listener, mosquitto, saying
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PATIENCE_S = 15.0
# Two clients that come back as fast as they can take a connection six times in two seconds.
TAKES, AT_LEAST_S = 6, 2.6
TOPIC = "splitsight/v1/plant/line/box/escalation"


@pytest.fixture
def clients() -> Iterator[list[MqttTransport]]:
    made: list[MqttTransport] = []
    yield made
    for client in made:
        client.stop()


def started(
    clients: list[MqttTransport], port: int, name: str = "box", will: Will | None = None
) -> MqttTransport:
    client = MqttTransport(at(port), name)
    clients.append(client)
    client.start(will)
    assert client.wait_until_connected(PATIENCE_S)
    return client


def heard(client: Transport, topic: str) -> list[Delivery]:
    found: list[Delivery] = []
    client.subscribe(topic, found.append)
    return found


def lives(client: MqttTransport) -> None:
    """Its messages still go out and come back, on the connection that it has."""
    back = heard(client, "settle")
    client.publish("settle", b"")
    wait_until(lambda: back, "its own message is back")


def turns(client: MqttTransport) -> list[bool]:
    found: list[bool] = []
    client.on_connection(found.append)
    return found


def test_a_message_larger_than_the_broker_takes_is_not_sent(
    tmp_path: Path, clients: list[MqttTransport]
) -> None:
    with mosquitto(tmp_path, "max_packet_size 8000") as port:
        box = started(clients, port)
        changes = turns(box)
        inbox = heard(box, TOPIC)
        for _ in range(20):
            with pytest.raises(TransportError, match=r"9\d\d\d B on .* 8000 B that the broker"):
                box.publish(TOPIC, bytes(9000))
        box.publish(TOPIC, bytes(box.max_payload), expires_s=1.0)
        wait_until(lambda: inbox, "what fits arrives")
        assert changes == [True]
        assert f"{box.max_payload} B that the broker takes" in box.problems[f"size {TOPIC}"]


def test_a_limit_that_the_broker_does_not_tell_is_learned(
    tmp_path: Path, clients: list[MqttTransport]
) -> None:
    """Mosquitto 2.0 refuses with a reason code that MQTT 5 does not know in a PUBACK."""
    with mosquitto(tmp_path, "message_size_limit 8000") as port:
        box = started(clients, port)
        changes = turns(box)
        size = 64_000
        while size > 8000:
            box.publish(TOPIC, bytes(size))
            wait_until(lambda: box.max_payload < size, "the refusal is known")  # noqa: B023
            with pytest.raises(TransportError, match="that the broker takes"):
                box.publish(TOPIC, bytes(size))
            size = box.max_payload
        inbox = heard(box, TOPIC)
        box.publish(TOPIC, bytes(size))
        wait_until(lambda: inbox, "what fits arrives")
        assert changes == [True]
        assert 4000 <= size <= 8000


def test_a_denied_topic_is_told_and_allowed_ones_go_on(
    tmp_path: Path, clients: list[MqttTransport]
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic deny {TOPIC}\ntopic readwrite #\n")
    acl.chmod(0o600)
    with mosquitto(tmp_path, f"acl_file {acl}") as port:
        box = started(clients, port)
        with capture_logs() as logs:
            for _ in range(49):
                box.publish(TOPIC, b"denied")
            lives(box)
            wait_until(lambda: f"topic {TOPIC}" in box.problems, "it is told")
        told = [entry for entry in logs if entry["event"] == "link_problem"]
        assert [entry["reason"] for entry in told] == [
            "the broker refuses a message: not authorised"
        ]
        assert "ACL" in told[0]["fix"]


def test_a_broker_that_keeps_nothing_is_told_and_still_used(
    tmp_path: Path, clients: list[MqttTransport]
) -> None:
    with mosquitto(tmp_path, "retain_available false") as port:
        box = started(clients, port, will=Will("state", b"offline"))
        inbox = heard(box, "kept")
        box.publish("kept", b"x", retain=True)
        wait_until(lambda: inbox, "it arrives, without being kept")
        assert "keeps no retained messages" in box.problems["broker retained"]


def test_a_broker_with_only_the_lowest_quality_is_told_and_still_used(
    tmp_path: Path, clients: list[MqttTransport]
) -> None:
    with mosquitto(tmp_path, "max_qos 0") as port:
        box = started(clients, port, will=Will("state", b"offline"))
        inbox = heard(box, "a")
        for _ in range(50):
            box.publish("a", b"x")
        wait_until(lambda: len(inbox) == 50, "they arrive")
        assert "QoS 0 only" in box.problems["broker quality"]


def test_no_more_waits_at_once_than_the_broker_allows(
    tmp_path: Path, clients: list[MqttTransport]
) -> None:
    with mosquitto(tmp_path, "max_inflight_messages 3") as port:
        box = started(clients, port)
        assert box.limits.in_flight == 3
        inbox = heard(box, "a")
        for number in range(100):
            box.publish("a", bytes([number]))
        wait_until(lambda: len(inbox) == 100, "all arrive")
        assert [one.payload[0] for one in inbox] == list(range(100))
        assert not box.problems


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0x8E, "another client uses our name"),
        (0x97, "its quota for this client is used up"),
        (0x8B, "it shuts down"),
        (0x8D, "it has not heard of us for too long"),
        (0x87, "not authorised"),
    ],
)
def test_how_a_broker_ends_a_connection_is_told(
    clients: list[MqttTransport], code: int, text: str
) -> None:
    with listener(saying(CONNACK, bytes([0xE0, 2, code, 0]))) as port:
        box = MqttTransport(at(port), "box")
        clients.append(box)
        box.start()
        wait_until(lambda: "broker ended" in box.problems, "it is told")
        assert box.problems["broker ended"] == f"it ended the connection: {text}"
        box.stop()


def test_a_subscription_that_is_refused_is_told(clients: list[MqttTransport]) -> None:
    # SUBACK for the first packet identifier that paho uses.
    with listener(saying(CONNACK, bytes([0x90, 4, 0, 1, 0, 0x87]))) as port:
        box = MqttTransport(at(port), "box")
        clients.append(box)
        box.subscribe("orders", lambda _: None)
        box.start()
        wait_until(lambda: box.problems, "it is told")
        about, text = next(iter(box.problems.items()))
        assert about == "subscription orders"
        assert text == "the broker refuses the subscription: not authorised"
        box.stop()


def test_two_clients_of_one_name_do_not_fight_at_full_speed(
    tmp_path: Path, clients: list[MqttTransport]
) -> None:
    with mosquitto(tmp_path) as port:
        box = started(clients, port)
        taken, begun = turns(box), time.monotonic()
        started(clients, port)
        wait_until(lambda: "broker flaps" in box.problems, "the fight is told")
        wait_until(lambda: taken.count(True) >= TAKES, "it has come back a few times")
        assert time.monotonic() - begun >= AT_LEAST_S


class Unreadable(Exception):
    """As a parser raises it."""


def test_a_message_that_cannot_be_read_costs_itself(
    tmp_path: Path, clients: list[MqttTransport]
) -> None:
    with mosquitto(tmp_path) as port:
        sender = started(clients, port, "sender")
        sender.publish("kept/odd", b"odd", retain=True)
        sender.publish("kept/fine", b"fine", retain=True)
        lives(sender)
        box = MqttTransport(at(port), "box")
        clients.append(box)
        inner = box._client._handle_publish

        def handle() -> MQTTErrorCode:
            if b"odd" in box._client._in_packet["packet"]:
                raise Unreadable
            return inner()

        # A harmless stand-in: what raises is the parser, whatever it was that it met.
        box._client._handle_publish = handle  # type: ignore[method-assign]
        inbox = heard(box, "kept/#")
        box.start()
        assert box.wait_until_connected(PATIENCE_S)
        changes = turns(box)
        lives(box)
        wait_until(lambda: inbox, "the other one arrives")
        sender.publish("kept/odd", b"odd again")
        sender.publish("kept/fine", b"fine again")
        wait_until(lambda: len(inbox) == 2, "the next one arrives")
        assert {one.topic for one in inbox} == {"kept/fine"}
        assert changes == [True]
        assert "'kept/odd'" in box.problems["unreadable"]


def test_a_watcher_that_fails_ends_nothing(tmp_path: Path, clients: list[MqttTransport]) -> None:
    with mosquitto(tmp_path) as port:
        box = MqttTransport(at(port), "box")
        clients.append(box)
        told: list[bool] = []

        def clumsy(_connected: bool) -> None:
            raise ZeroDivisionError

        box.on_connection(clumsy)
        box.on_connection(told.append)
        box.start()
        assert box.wait_until_connected(PATIENCE_S)
        lives(box)
        assert told == [True]
