"""What is said over a new connection is new, or still good: nothing old is said as if it were."""

from __future__ import annotations

import queue
import socket
from pathlib import Path

import psutil
import pytest

from shared.errors import TransportError
from shared.transport.client import BrokerClient
from shared.transport.mqtt import MqttTransport
from tests.support.brokers import CONNACK, at, listener, mosquitto
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PATIENCE_S = 15.0


class Deaf:
    """A broker that takes connections and messages, acknowledges none, and hangs up when told."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.hang_up = False

    def __call__(self, taken: socket.socket) -> None:
        taken.settimeout(0.05)
        first = True
        while not self.hang_up:
            try:
                data = taken.recv(65536)
            except TimeoutError:
                continue
            if not data:
                return
            if first:
                taken.sendall(CONNACK)
                first = False
            else:
                self.heard.put(data)
        self.hang_up = False

    def until(self, word: bytes) -> bytes:
        said = b""
        while word not in said:
            said += self.heard.get(timeout=PATIENCE_S)
        return said


def test_what_expires_is_not_said_again_over_the_next_connection() -> None:
    deaf = Deaf()
    with listener(deaf) as port:
        box = MqttTransport(at(port), "box")
        box.start()
        assert box.wait_until_connected(PATIENCE_S)
        box.publish("e", b"in 490 ms", expires_s=30.0)
        assert b"in 490 ms" in deaf.until(b"in 490 ms")
        turns: list[bool] = []
        box.on_connection(turns.append)
        deaf.hang_up = True
        wait_until(lambda: turns[-2:] == [False, True], "it has come back")
        box.publish("e", b"fresh")
        assert b"in 490 ms" not in deaf.until(b"fresh")
        box.stop()


@pytest.mark.parametrize(("lasts_s", "kept"), [(0.0, False), (3600.0, True)])
def test_what_is_not_acknowledged_is_kept_only_while_it_is_good(
    *, lasts_s: float, kept: bool
) -> None:
    client = BrokerClient("box", connect_timeout_s=1.0)
    info = client.send("e", b"x", qos=1, retain=False, properties=None, lasts_s=lasts_s)
    client.forget()
    assert (info.mid in client._out_messages) is kept
    assert client.largest_unacknowledged == (1 if kept else 0)


def test_a_connection_that_is_changed_on_purpose_keeps_what_is_under_way() -> None:
    client = BrokerClient("box", connect_timeout_s=1.0)
    info = client.send("e", b"x", qos=1, retain=False, properties=None, lasts_s=0.0)
    client.keeps = True
    client.forget()
    assert info.mid in client._out_messages
    client.keeps = False
    client.forget()
    assert info.mid not in client._out_messages


def test_what_was_refused_as_too_large_is_not_tried_again() -> None:
    client = BrokerClient("box", connect_timeout_s=1.0)
    for size in (10, 9000):
        client.send("e", bytes(size), qos=1, retain=False, properties=None, lasts_s=3600.0)
    client.forget(larger_than=8000)
    assert client.largest_unacknowledged == 10


def test_a_connection_on_which_nothing_is_acknowledged_is_given_up(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as port:
        broker = max(psutil.Process().children(), key=psutil.Process.create_time)
        box = MqttTransport(at(port), "box", patience_s=0.2)
        lost: list[bool] = []
        box.on_connection(lost.append)
        box.start()
        assert box.wait_until_connected(PATIENCE_S)
        broker.suspend()
        box.publish("e", b"x")
        refused = 0

        def publish() -> bool:
            nonlocal refused
            try:
                box.publish("e", b"y")
            except TransportError:
                refused += 1
            return lost == [True, False]

        wait_until(publish, "it is given up")
        broker.resume()
        assert box.wait_until_connected(PATIENCE_S)
        assert refused
        box.stop()
