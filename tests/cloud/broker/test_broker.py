"""The embedded broker, with both kinds for real."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest

from cloud.broker.embedded import EmbeddedBroker
from cloud.broker.probe import ask
from cloud.configuration.settings import BrokerKind
from cloud.inference.intake import of_escalations, of_inspections
from shared.errors import ProcessError, SettingsError
from shared.loopback import bind, free_port
from shared.transport.base import Delivery
from shared.transport.mqtt import BrokerSettings, MqttTransport
from tests.cloud.makers import DEVICE
from tests.support.waiting import wait_until

KINDS: tuple[BrokerKind, ...] = ("mosquitto", "iotcore")
PATIENCE_S = 10.0
DELAYED_ACK_MS = 40.0


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(request.param, port=free_port()) as running:
        yield running


def connect(broker: EmbeddedBroker, name: str) -> MqttTransport:
    transport = MqttTransport(BrokerSettings.model_validate({"port": broker.port}), name)
    transport.start()
    assert transport.wait_until_connected(PATIENCE_S)
    return transport


def settled(transport: MqttTransport) -> None:
    """Return when the broker has taken this client's subscriptions: its own message is back."""
    back = threading.Event()
    topic = f"settled/{id(back)}"
    transport.subscribe(topic, lambda _: back.set())

    def is_back() -> bool:
        transport.publish(topic, b"")
        return back.wait(0.1)

    wait_until(is_back, "our own message is back")


@pytest.mark.process
def test_members_of_a_shared_subscription_divide_the_messages(broker: EmbeddedBroker) -> None:
    workers = [connect(broker, f"worker-{n}") for n in range(2)]
    device = connect(broker, "device")
    arrived: list[tuple[int, bytes, str]] = []
    everything = threading.Event()

    def receive(worker: int, delivery: Delivery) -> None:
        arrived.append((worker, delivery.payload, delivery.properties["traceparent"]))
        if len(arrived) == 20:
            everything.set()

    for number, worker in enumerate(workers):
        worker.subscribe("$share/intake/plant/+", partial(receive, number))
        settled(worker)
    for number in range(20):
        device.publish("plant/a", bytes([number]) * 30_000, properties={"traceparent": "00-1"})
    assert everything.wait(PATIENCE_S)
    assert sorted(payload[0] for _, payload, _ in arrived) == list(range(20))
    assert {worker for worker, _, _ in arrived} == {0, 1}
    assert {trace for _, _, trace in arrived} == {"00-1"}
    for transport in (*workers, device):
        transport.stop()


@pytest.mark.process
def test_many_escalations_do_not_hold_up_inspections(broker: EmbeddedBroker) -> None:
    worker, device = connect(broker, "worker"), connect(broker, "device")
    escalations, inspections = threading.Semaphore(0), threading.Event()
    worker.subscribe(of_escalations("group"), lambda _: escalations.release())
    worker.subscribe(of_inspections("group"), lambda _: inspections.set())
    settled(worker)
    for _ in range(50):
        device.publish(DEVICE.topic("escalation"), b"x" * 300)
    for _ in range(50):
        assert escalations.acquire(timeout=PATIENCE_S)
    device.publish(DEVICE.topic("inspections"), b"x")
    assert inspections.wait(PATIENCE_S)
    worker.stop()
    device.stop()


@pytest.mark.process
def test_a_round_trip_does_not_wait_for_delayed_acknowledgements(broker: EmbeddedBroker) -> None:
    echo, device = connect(broker, "echo"), connect(broker, "device")
    back = threading.Event()
    echo.subscribe("ping", lambda delivery: echo.publish("pong", delivery.payload))
    device.subscribe("pong", lambda _: back.set())
    settled(echo)
    settled(device)
    times = []
    for _ in range(20):
        back.clear()
        started = time.perf_counter()
        device.publish("ping", b"x" * 10_000)
        assert back.wait(PATIENCE_S)
        times.append((time.perf_counter() - started) * 1000)
    assert statistics.median(times) < DELAYED_ACK_MS
    echo.stop()
    device.stop()


@pytest.mark.process
def test_a_broker_that_dies_comes_back_and_clients_with_it(broker: EmbeddedBroker) -> None:
    device = connect(broker, "device")
    lost, back = threading.Event(), threading.Event()

    def watch(up: bool) -> None:
        if not up:
            lost.set()
        elif lost.is_set():
            back.set()

    device.on_connection(watch)
    first = broker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert lost.wait(PATIENCE_S)
    # A connection that the new broker accepts and never answers is given up after 15 s.
    assert back.wait(3 * PATIENCE_S)
    assert broker.pid != first
    device.stop()


@pytest.mark.process
@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_holds_no_more_files_open_than_it_has_clients(kind: BrokerKind) -> None:
    with EmbeddedBroker(kind, port=free_port()) as broker:
        for number in range(20):
            connect(broker, f"device-{number}").stop()
        assert broker.pid is not None
        process = psutil.Process(broker.pid)
        family = [process, *process.children(recursive=True)]
        assert max(member.num_fds() for member in family) < 100


def test_a_taken_port_is_said_at_once() -> None:
    with bind("127.0.0.1", 0, setting="x") as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ProcessError, match=r"is taken by another process.*broker.port"):
            EmbeddedBroker("auto", port=port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "plant.example"])  # noqa: S104
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="open to everyone"):
        EmbeddedBroker("auto", host=host)


OWNER = """
import sys
from cloud.broker.embedded import EmbeddedBroker
from shared import log
from tests.support.waiting import wait_until
log.configure()
broker = EmbeddedBroker(sys.argv[1], port=int(sys.argv[2])).start()
print(broker.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.process
@pytest.mark.parametrize("kind", KINDS)
def test_the_broker_ends_with_a_killed_parent(kind: BrokerKind) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, kind, str(free_port())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=root,
    ) as owner:
        assert owner.stdout is not None
        child = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    psutil.wait_procs([child], timeout=PATIENCE_S)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.process
@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_that_lives_and_does_not_serve_is_started_again(kind: BrokerKind) -> None:
    with EmbeddedBroker(kind, port=free_port(), probe_every_s=0.1) as broker:
        transport = connect(broker, "device")
        first = broker.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: broker.pid not in {None, first}, "another one runs")
        wait_until(lambda: ask(broker.host, broker.port, 3.0) == "serves", "it serves")
        wait_until(lambda: transport.connected, "the device is back")
        wait_until(lambda: broker.problems == [], "nothing is wrong any more")
        transport.stop()


@pytest.mark.process
@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_serves_on_the_loopback_of_ipv6(kind: BrokerKind) -> None:
    port = free_port()
    with EmbeddedBroker(kind, host="::1", port=port):
        settings = BrokerSettings.model_validate({"host": "::1", "port": port})
        transport = MqttTransport(settings, "device")
        transport.start()
        assert transport.wait_until_connected(PATIENCE_S)
        transport.stop()


def close_next(listening: socket.socket) -> None:
    accepted, _ = listening.accept()
    accepted.close()


def test_what_closes_the_connection_refuses_and_what_says_nothing_is_silent() -> None:
    with bind("127.0.0.1", 0, setting="x") as listening:
        listening.listen()
        port = listening.getsockname()[1]
        assert ask("127.0.0.1", port, 0.05) == "silent"
        with ThreadPoolExecutor(1) as pool:
            # The first is the one that was silent.
            for _ in range(2):
                pool.submit(close_next, listening)
            assert ask("127.0.0.1", port, 5.0) == "refuses"
    assert ask("127.0.0.1", port, 1.0) == "silent"
