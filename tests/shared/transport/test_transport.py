"""What both transports promise, in memory and against a real broker."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub
from structlog.typing import EventDict

from cloud.broker.embedded import EmbeddedBroker
from cloud.broker.programs import Mosquitto
from shared.errors import TransportError
from shared.loopback import free_port
from shared.transport.base import Delivery, LeavingTransport, Transport, Will
from shared.transport.limit import MAX_MESSAGE
from shared.transport.memory import MemoryBroker, MemoryTransport, matches
from shared.transport.mqtt import BrokerSettings, MqttTransport

PATIENCE_S = 10.0


class Inbox:
    """Keeps what a subscription delivers."""

    def __init__(self) -> None:
        self._arrived: queue.SimpleQueue[Delivery] = queue.SimpleQueue()

    def __call__(self, delivery: Delivery) -> None:
        self._arrived.put(delivery)

    def next(self) -> Delivery:
        return self._arrived.get(timeout=PATIENCE_S)

    def rest(self) -> list[bytes]:
        found = []
        while not self._arrived.empty():
            found.append(self._arrived.get().payload)
        return found


class Site(Protocol):
    """A broker and a way to get clients of it."""

    def client(self, name: str) -> LeavingTransport:
        """Not started yet."""

    def ready(self, client: Transport) -> None:
        """Return when it is connected."""

    def cut(self, client: Transport) -> None:
        """Break its connection as a lost network would."""


class InMemory:
    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def client(self, name: str) -> LeavingTransport:
        del name
        return self.broker.transport()

    def ready(self, client: Transport) -> None:
        assert client.connected

    def cut(self, client: Transport) -> None:
        assert isinstance(client, MemoryTransport)
        self.broker.drop(client)
        client.restore()


class OverMqtt:
    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[MqttTransport] = []

    def client(self, name: str) -> LeavingTransport:
        settings = BrokerSettings.model_validate({"port": self.port})
        self.clients.append(MqttTransport(settings, name))
        return self.clients[-1]

    def ready(self, client: Transport) -> None:
        assert isinstance(client, MqttTransport)
        assert client.wait_until_connected(PATIENCE_S)

    def cut(self, client: Transport) -> None:
        assert isinstance(client, MqttTransport)
        sock = client._client.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    require_mosquitto()
    with EmbeddedBroker("mosquitto", port=free_port()) as running:
        yield running


def require_mosquitto() -> str:
    found = Mosquitto().found()
    if found is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    return found


@pytest.fixture(params=["memory", pytest.param("mqtt", marks=pytest.mark.process)])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "memory":
        yield InMemory()
        return
    running: EmbeddedBroker = request.getfixturevalue("broker")
    over = OverMqtt(running.port)
    yield over
    for client in over.clients:
        client.stop()


def started(site: Site, name: str, will: Will | None = None) -> LeavingTransport:
    client = site.client(name)
    client.start(will)
    site.ready(client)
    return client


def settle(client: Transport) -> None:
    """Return when the broker has worked off what this client sent: its own message is back."""
    back = Inbox()
    topic = f"settle/{id(back)}"
    client.subscribe(topic, back)
    client.publish(topic, b"settled")
    assert back.next().payload == b"settled"


def test_what_is_no_longer_subscribed_does_not_come_and_others_go_on(site: Site) -> None:
    leaver, stayer = started(site, "leaver"), started(site, "stayer")
    left, kept, stayed = Inbox(), Inbox(), Inbox()
    leaver.subscribe("$share/some/a/+", left)
    leaver.subscribe("b/+", kept)
    stayer.subscribe("$share/some/a/+", stayed)
    settle(leaver)
    settle(stayer)
    leaver.unsubscribe("$share/some/a/+")
    settle(leaver)
    for number in range(6):
        stayer.publish("a/1", bytes([number]))
    stayer.publish("b/1", b"b")
    assert [stayed.next().payload for _ in range(6)] == [bytes([number]) for number in range(6)]
    assert kept.next().payload == b"b"
    assert left.rest() == []


def test_a_message_arrives_as_it_was_published(site: Site) -> None:
    receiver, sender, inbox = started(site, "receiver"), started(site, "sender"), Inbox()
    receiver.subscribe("plant/+/state", inbox)
    settle(receiver)
    sender.publish("plant/a/other", b"not this one")
    sender.publish("plant/a/state", bytes(range(256)), properties={"traceparent": "00-ab"})
    arrived = inbox.next()
    assert arrived.topic == "plant/a/state"
    assert arrived.payload == bytes(range(256))
    assert dict(arrived.properties) == {"traceparent": "00-ab"}


def test_members_of_a_shared_subscription_divide_the_messages(site: Site) -> None:
    workers = [started(site, f"worker-{n}") for n in range(2)]
    inboxes = [Inbox(), Inbox()]
    onlooker, everything = started(site, "onlooker"), Inbox()
    onlooker.subscribe("jobs/#", everything)
    for worker, inbox in zip(workers, inboxes, strict=True):
        worker.subscribe("$share/intake/jobs/+", inbox)
    for client in (*workers, onlooker):
        settle(client)
    sender = started(site, "sender")
    for number in range(20):
        sender.publish("jobs/a", bytes([number]))
    assert [everything.next().payload[0] for _ in range(20)] == list(range(20))
    for worker in workers:
        settle(worker)
    shares = [inbox.rest() for inbox in inboxes]
    assert sorted(payload[0] for share in shares for payload in share) == list(range(20))
    assert all(shares)


def test_a_retained_message_waits_for_late_subscribers_until_it_is_cleared(site: Site) -> None:
    sender = started(site, "sender")
    sender.publish("kept/a", b"old", retain=True)
    sender.publish("kept/a", b"new", retain=True)
    sender.publish("kept/b", b"passing")
    settle(sender)
    late, inbox = started(site, "late"), Inbox()
    late.subscribe("kept/+", inbox)
    assert inbox.next().payload == b"new"
    sender.publish("kept/a", b"", retain=True)
    assert inbox.next().payload == b""
    later, nothing = started(site, "later"), Inbox()
    later.subscribe("kept/+", nothing)
    settle(later)
    assert nothing.rest() == []


def test_two_who_listen_to_one_filter_both_hear_and_know_what_was_kept(site: Site) -> None:
    sender, receiver = started(site, "sender"), started(site, "receiver")
    topic = "kept/for-two"
    sender.publish(topic, b"old", retain=True)
    settle(sender)
    first, second = Inbox(), Inbox()
    receiver.subscribe(topic, first)
    settle(receiver)
    receiver.subscribe(topic, second)
    settle(receiver)
    sender.publish(topic, b"new", retain=True)
    for inbox in (first, second):
        heard = [inbox.next()]
        while heard[-1].payload != b"new":
            heard.append(inbox.next())
        assert {delivery.retained for delivery in heard[:-1]} == {True}
        assert not heard[-1].retained


def test_the_will_of_a_lost_device_is_published_and_retained(site: Site) -> None:
    watcher, inbox = started(site, "watcher"), Inbox()
    watcher.subscribe("state/lost", inbox)
    settle(watcher)
    device = started(site, "lost-device", Will("state/lost", b"offline"))
    site.cut(device)
    assert inbox.next().payload == b"offline"
    late, kept = started(site, "late-watcher"), Inbox()
    late.subscribe("state/lost", kept)
    assert kept.next().payload == b"offline"


def test_a_goodbye_takes_the_place_of_the_will(site: Site) -> None:
    watcher, inbox = started(site, "watcher"), Inbox()
    watcher.subscribe("state/leaving", inbox)
    settle(watcher)
    device = started(site, "leaving-device", Will("state/leaving", b"offline"))
    device.stop(Will("state/leaving", b"stopping"))
    device.stop()
    assert inbox.next().payload == b"stopping"
    settle(watcher)
    assert inbox.rest() == []
    assert not device.connected


def test_nothing_is_queued_while_the_broker_is_away(site: Site) -> None:
    device = site.client("away")
    with pytest.raises(TransportError, match="not connected"):
        device.publish("a", b"lost")
    device.start()
    site.ready(device)
    device.stop()
    with pytest.raises(TransportError, match="not connected"):
        device.publish("a", b"lost")


def test_a_message_that_brokers_would_drop_is_refused(site: Site) -> None:
    device = started(site, "greedy")
    with pytest.raises(TransportError, match=f"a message of {MAX_MESSAGE + 1} B"):
        device.publish("a", bytes(MAX_MESSAGE + 1))
    device.publish("a", bytes(MAX_MESSAGE))
    settle(device)


def test_subscriptions_and_watchers_outlive_a_lost_connection(site: Site) -> None:
    device, inbox = site.client("outliving"), Inbox()
    turns: queue.SimpleQueue[bool] = queue.SimpleQueue()
    device.subscribe("orders/a", inbox)
    device.on_connection(turns.put)
    device.start()
    site.ready(device)
    settle(device)
    device.subscribe("orders/b", inbox)
    site.cut(device)
    assert [turns.get(timeout=PATIENCE_S) for _ in range(3)] == [True, False, True]
    settle(device)
    for topic in ("orders/a", "orders/b"):
        device.publish(topic, topic.encode())
        assert inbox.next().topic == topic


def test_who_watches_late_hears_of_a_connection_that_is_there(site: Site) -> None:
    device = started(site, "watched")
    turns: queue.SimpleQueue[bool] = queue.SimpleQueue()
    device.on_connection(turns.put)
    assert turns.get(timeout=PATIENCE_S) is True


steps = st.sampled_from(["a", "b", "", "long-name"])
topics = st.lists(steps, min_size=1, max_size=4).map("/".join)
filters = st.builds(
    lambda head, tail: "/".join(head + tail),
    st.lists(steps | st.just("+"), min_size=1, max_size=4),
    st.sampled_from([[], ["#"]]),
)


@given(filters, topics)
def test_filters_match_as_in_mqtt(topic_filter: str, topic: str) -> None:
    assert matches(topic_filter, topic) == topic_matches_sub(topic_filter, topic)


@pytest.fixture
def logged() -> Iterator[queue.SimpleQueue[EventDict]]:
    """Every event that is logged, from whichever thread."""
    entries: queue.SimpleQueue[EventDict] = queue.SimpleQueue()

    def keep(_logger: object, method: str, event: EventDict) -> EventDict:
        entries.put({**event, "level": method})
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = list(processors)
    # In place, as structlog's own capture does: loggers that are bound already see it too.
    processors[:] = [keep]
    yield entries
    processors[:] = before


def event(entries: queue.SimpleQueue[EventDict], name: str) -> EventDict:
    """The next event of a name."""
    while True:
        found = entries.get(timeout=PATIENCE_S)
        if found["event"] == name:
            return found


@pytest.mark.process
def test_a_handler_that_fails_is_logged_and_the_next_message_still_arrives(
    broker: EmbeddedBroker, logged: queue.SimpleQueue[EventDict]
) -> None:
    site = OverMqtt(broker.port)
    device, inbox = started(site, "clumsy"), Inbox()

    def handle(delivery: Delivery) -> None:
        inbox(delivery)
        raise ZeroDivisionError

    device.subscribe("fragile", handle)
    for payload in (b"one", b"two"):
        device.publish("fragile", payload)
        assert inbox.next().payload == payload
        assert event(logged, "handler_failed")["topic"] == "fragile"
    device.stop()


@pytest.mark.process
def test_subscriptions_survive_a_broker_that_was_killed(
    logged: queue.SimpleQueue[EventDict],
) -> None:
    require_mosquitto()
    with EmbeddedBroker("mosquitto", port=free_port()) as broker:
        site = OverMqtt(broker.port)
        device, inbox, back = site.client("survivor"), Inbox(), threading.Event()
        device.subscribe("orders", inbox)
        device.start()
        site.ready(device)
        first = broker.pid
        assert first is not None
        lost = threading.Event()
        device.on_connection(lambda up: back.set() if up and lost.is_set() else None)
        device.on_connection(lambda up: None if up else lost.set())
        os.kill(first, signal.SIGKILL)
        assert event(logged, "broker_lost")["port"] == broker.port
        assert back.wait(PATIENCE_S)
        settle(device)
        device.publish("orders", b"again")
        assert inbox.next().payload == b"again"
        device.stop()


@contextmanager
def guarded_broker(folder: Path, port: int) -> Iterator[None]:
    """A mosquitto that wants a name and a password (which nobody has)."""
    program = require_mosquitto()
    (folder / "passwords").write_text("")
    (folder / "passwords").chmod(0o600)
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\nuser root\n"
        f"password_file {folder / 'passwords'}\nlog_dest stderr\nlog_type all\n"
    )
    with subprocess.Popen([program, "-c", config], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        said = []
        for line in child.stderr:
            said.append(line)
            if "running" in line:
                break
        assert child.poll() is None, said
        yield
        child.terminate()
        child.stderr.read()


@pytest.mark.process
def test_refused_credentials_are_logged_with_the_reason_and_without_the_password(
    tmp_path: Path, logged: queue.SimpleQueue[EventDict]
) -> None:
    port = free_port()
    with guarded_broker(tmp_path, port):
        settings = BrokerSettings.model_validate(
            {"port": port, "username": "box", "password": "hunter2X"}
        )
        device = MqttTransport(settings, "stranger")
        turns: queue.SimpleQueue[bool] = queue.SimpleQueue()
        device.on_connection(turns.put)
        device.start()
        refusal = event(logged, "broker_refused")
        device.stop()
    assert refusal["level"] == "error"
    assert refusal["reason"] == "the broker refuses us: not authorised"
    assert refusal["port"] == port
    assert "hunter2X" not in str(refusal) + repr(settings)
    assert not device.connected
    assert turns.empty()


@pytest.mark.process
def test_a_broker_that_is_not_there_is_logged_and_tried_again(
    logged: queue.SimpleQueue[EventDict],
) -> None:
    require_mosquitto()
    port = free_port()
    device = MqttTransport(BrokerSettings.model_validate({"port": port}), "patient")
    device.start()
    assert event(logged, "broker_unreachable")["port"] == port
    with EmbeddedBroker("mosquitto", port=port):
        assert device.wait_until_connected(PATIENCE_S)
        device.stop()


def test_certificates_that_cannot_be_loaded_are_named(tmp_path: Path) -> None:
    settings = BrokerSettings.model_validate({"tls": {"ca": str(tmp_path / "nowhere.pem")}})
    with pytest.raises(TransportError, match="certificates for the broker can't be loaded"):
        MqttTransport(settings, "box")
