"""The proxy between real sockets, and between real clients and a real broker."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from cloud.broker.embedded import EmbeddedBroker
from hardware_sim.network.conditions import Conditions
from hardware_sim.network.proxy import NetworkProxy
from shared.errors import ProcessError, SettingsError
from shared.loopback import bind, free_port
from shared.settings import validate
from shared.transport.base import Delivery
from shared.transport.mqtt import BrokerSettings, MqttTransport

PATIENCE_S = 20.0


@contextmanager
def echo_server() -> Iterator[tuple[str, int]]:
    """Sends back what comes, on each connection until its end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    while data := connection.recv(1 << 16):
                        connection.sendall(data)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[str, int]]:
    with echo_server() as address:
        yield address


def dial(proxy: NetworkProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE_S)


def receive(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count and (more := connection.recv(1 << 16)):
        found += more
    return found


@settings(max_examples=15)
@given(chunks=st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=12))
def test_an_idle_proxy_passes_every_byte_both_ways(chunks: list[bytes]) -> None:
    with echo_server() as far, NetworkProxy(far) as proxy, closing(dial(proxy)) as near:
        for chunk in chunks:
            near.sendall(chunk)
        near.shutdown(socket.SHUT_WR)
        stream = b"".join(chunks)
        assert receive(near, len(stream) + 1) == stream
        assert proxy.counters.up.bytes == proxy.counters.down.bytes == len(stream)


def test_latency_is_added_in_each_direction_and_jitter_keeps_the_order(
    echo: tuple[str, int],
) -> None:
    conditions = Conditions.both(latency_ms=40, jitter_ms=30)
    with NetworkProxy(echo, conditions=conditions) as proxy, closing(dial(proxy)) as near:
        started = time.monotonic()
        numbers = bytes(range(200))
        for number in numbers:
            near.sendall(bytes([number]))
        first = receive(near, 1)
        assert time.monotonic() - started >= 0.08
        assert first + receive(near, len(numbers) - len(first)) == numbers


def test_bandwidth_is_shared_by_all_connections(echo: tuple[str, int]) -> None:
    conditions = Conditions.model_validate({"up": {"bytes_per_s": 100_000}})
    with (
        NetworkProxy(echo, conditions=conditions) as proxy,
        closing(dial(proxy)) as one,
        closing(dial(proxy)) as two,
    ):
        started = time.monotonic()
        for near in (one, two):
            near.sendall(b"x" * 20_000)
        assert len(receive(one, 20_000)) == len(receive(two, 20_000)) == 20_000
        # 40 kB at 100 kB/s.
        assert time.monotonic() - started >= 0.4 - 0.02


def test_a_partition_holds_everything_back_and_keeps_connections(echo: tuple[str, int]) -> None:
    with NetworkProxy(echo) as proxy, closing(dial(proxy)) as near:
        near.sendall(b"before")
        assert receive(near, 6) == b"before"
        proxy.apply(Conditions(partition=True))
        assert proxy.conditions.partition
        near.sendall(b"meanwhile")
        near.settimeout(0.15)
        with pytest.raises(TimeoutError):
            near.recv(1)
        near.settimeout(PATIENCE_S)
        proxy.apply(Conditions())
        assert receive(near, 9) == b"meanwhile"


def test_a_cut_resets_both_sides_even_during_a_partition(echo: tuple[str, int]) -> None:
    with NetworkProxy(echo) as proxy, closing(dial(proxy)) as near:
        near.sendall(b"x")
        assert receive(near, 1) == b"x"
        proxy.apply(Conditions(partition=True))
        near.sendall(b"y")
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            receive(near, 1)
        assert (proxy.counters.cut, proxy.counters.open) == (1, 0)


def test_without_a_broker_connections_are_reset() -> None:
    with NetworkProxy(("127.0.0.1", free_port())) as proxy:

        def use() -> None:
            with closing(dial(proxy)) as near:
                near.recv(1)

        # It may come while the connection is still being made.
        with pytest.raises(ConnectionResetError):
            use()
        assert proxy.counters.refused == 1


def test_a_taken_port_is_refused_in_words() -> None:
    with bind("127.0.0.1", 0, setting="x") as taken:
        taken.listen()
        proxy = NetworkProxy(("127.0.0.1", 1), listen=taken.getsockname())
        with pytest.raises(ProcessError, match="is taken by another process"):
            proxy.start()


def test_a_proxy_that_does_not_run_says_so() -> None:
    with pytest.raises(ProcessError, match="does not run; call start"):
        NetworkProxy(("127.0.0.1", 1)).cut()


def test_impossible_conditions_are_all_named() -> None:
    values = {"up": {"latency_ms": -1, "duplicate_share": 2}, "down": {"speed": 3}}
    with pytest.raises(SettingsError) as raised:
        validate(values, Conditions, "scenario")
    said = str(raised.value)
    assert "3 mistakes" in said
    for key in ("up.latency_ms", "up.duplicate_share", "down.speed is not a setting"):
        assert key in said


KINDS = [pytest.param(kind, marks=pytest.mark.process) for kind in ("mosquitto", "iotcore")]


@pytest.fixture(scope="module", params=KINDS)
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(request.param, port=free_port()) as running:
        yield running


@pytest.fixture
def proxy(broker: EmbeddedBroker) -> Iterator[NetworkProxy]:
    with NetworkProxy((broker.host, broker.port)) as running:
        yield running


@contextmanager
def client(port: int, name: str) -> Iterator[MqttTransport]:
    transport = MqttTransport(BrokerSettings.model_validate({"port": port}), name)
    transport.start()
    assert transport.wait_until_connected(PATIENCE_S)
    yield transport
    transport.stop()


class Inbox:
    def __init__(self, transport: MqttTransport, topic: str) -> None:
        self._arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        transport.subscribe(topic, self._take)
        # Its own first message, back: the subscription holds.
        give_up = time.monotonic() + PATIENCE_S
        while True:
            transport.publish(topic, b"ready")
            try:
                self._arrived.get(timeout=0.5)
            except queue.Empty:
                assert time.monotonic() < give_up
            else:
                break

    def _take(self, delivery: Delivery) -> None:
        self._arrived.put(delivery.payload)

    def next(self) -> bytes:
        """The next message; a late echo of `ready` is none."""
        while (found := self._arrived.get(timeout=PATIENCE_S)) == b"ready":
            pass
        return found

    @property
    def is_empty(self) -> bool:
        return self._arrived.empty()


def test_after_a_partition_every_message_arrives(
    broker: EmbeddedBroker, proxy: NetworkProxy
) -> None:
    with client(broker.port, "cloud") as cloud, client(proxy.port, "box") as box:
        inbox = Inbox(cloud, "partition")
        proxy.apply(Conditions(partition=True))
        for number in range(20):
            box.publish("partition", bytes([number]))
        assert inbox.is_empty
        proxy.apply(Conditions())
        assert [inbox.next()[0] for _ in range(20)] == list(range(20))


@pytest.mark.process
@pytest.mark.parametrize("direction", ["up", "down"])
def test_messages_of_qos_1_arrive_twice_and_the_sender_sees_one_acknowledgement(
    broker: EmbeddedBroker, proxy: NetworkProxy, direction: str
) -> None:
    twice = Conditions.model_validate({direction: {"duplicate_share": 1.0}})
    sender, receiver = (proxy, broker) if direction == "up" else (broker, proxy)
    with client(receiver.port, "receiver") as far, client(sender.port, "sender") as near:
        inbox = Inbox(far, f"twice/{direction}")
        proxy.apply(twice)
        for number in range(10):
            near.publish(f"twice/{direction}", bytes([number]))
        assert sorted(inbox.next()[0] for _ in range(20)) == sorted([*range(10)] * 2)
        proxy.apply(Conditions())
        near.publish(f"twice/{direction}", b"last")
        assert inbox.next() == b"last"
        assert near.connected
        assert far.connected
        assert getattr(proxy.counters, direction).duplicated >= 10


def test_late_messages_are_overtaken_and_still_arrive(
    broker: EmbeddedBroker, proxy: NetworkProxy
) -> None:
    late = Conditions.model_validate({"up": {"late_share": 1.0, "late_ms": 150}})
    with client(broker.port, "cloud") as cloud, client(proxy.port, "box") as box:
        inbox = Inbox(cloud, "late")
        proxy.apply(late)
        box.publish("late", b"first")
        give_up = time.monotonic() + PATIENCE_S
        while proxy.counters.up.late < 1:
            assert time.monotonic() < give_up
        proxy.apply(Conditions())
        box.publish("late", b"second")
        assert [inbox.next(), inbox.next()] == [b"second", b"first"]


def test_half_open_connections_are_noticed_by_the_keepalive_of_the_clients(
    broker: EmbeddedBroker,
) -> None:
    far = (broker.host, broker.port)
    with NetworkProxy(far) as deaf, NetworkProxy(far) as mute:
        watched = [(deaf, "down"), (mute, "up")]
        clients = [watch(proxy, direction) for proxy, direction in watched]
        for proxy, direction in watched:
            proxy.apply(Conditions.model_validate({direction: {"swallow": True}}))
        for box, lost in clients:
            assert lost.wait(PATIENCE_S)
            box.disconnect()
            box.loop_stop()
        assert deaf.counters.down.dropped_bytes > 0
        assert mute.counters.up.dropped_bytes > 0


def watch(proxy: NetworkProxy, name: str) -> tuple[paho.Client, threading.Event]:
    """A connected client with the shortest keepalive there is, and the event of its loss."""
    ready, lost = threading.Event(), threading.Event()
    box = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
    box.on_connect = lambda *_: ready.set()
    box.on_disconnect = lambda *_: lost.set()
    box.connect(proxy.host, proxy.port, keepalive=1)
    box.loop_start()
    assert ready.wait(PATIENCE_S)
    return box, lost


def test_the_other_end_of_a_half_open_connection_never_learns() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        NetworkProxy(listening.getsockname()) as proxy,
    ):
        near = dial(proxy)
        far, _ = listening.accept()
        with closing(far):
            near.sendall(b"seen")
            assert receive(far, 4) == b"seen"
            proxy.apply(Conditions.model_validate({"up": {"swallow": True}}))
            near.sendall(b"not seen")
            near.close()
            far.settimeout(0.15)
            with pytest.raises(TimeoutError):
                far.recv(1)
            # What was lost can't come back: the stream would have a hole.
            proxy.apply(Conditions())
            with pytest.raises(TimeoutError):
                far.recv(1)
        assert proxy.counters.up.bytes == 4
