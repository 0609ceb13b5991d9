"""What devices leave at the broker for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloud.broker.embedded import EmbeddedBroker
from cloud.inference.quota import MOST_PLACES
from cloud.inference.sweep import EVERYTHING, RetainedSweep
from shared.loopback import free_port
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.transport.mqtt import BrokerSettings, MqttTransport
from shared.worker import DeadWorkers
from tests.cloud.makers import DEVICE
from tests.support.waiting import wait_until


def test_only_what_a_device_has_to_leave_there_stays_at_the_broker() -> None:
    broker = MemoryBroker()
    device, cloud = broker.transport(), broker.transport()
    device.start()
    cloud.start()
    kept = [DEVICE.topic("state"), DEVICE.topic("command"), DEVICE.topic("reply")]
    for topic in kept:
        device.publish(topic, b"x", retain=True)
    large = Address("plant", "line-1", "large").topic("state")
    device.publish(large, b"x" * 100_000, retain=True)
    for number in range(200):
        device.publish(f"{DEVICE.topic('escalation')}/{number}", b"x" * 1000, retain=True)
        place = Address("plant", f"line-{number}", "many")
        device.publish(place.topic("state"), b"x", retain=True)
    sweep = RetainedSweep(cloud, DeadWorkers())
    cloud.subscribe(EVERYTHING, sweep._take)
    assert sweep.clear() == 200 + (200 - MOST_PLACES) + 1
    assert set(kept) <= set(broker.retained)
    assert len(broker.retained) == 3 + MOST_PLACES
    assert sweep.clear() == 0


@pytest.fixture
def port() -> Iterator[int]:
    with EmbeddedBroker("mosquitto", port=free_port()) as running:
        yield running.port


@pytest.mark.process
def test_a_real_broker_forgets_what_is_cleared(port: int) -> None:
    def client(name: str) -> MqttTransport:
        made = MqttTransport(BrokerSettings.model_validate({"port": port}), name)
        made.start()
        assert made.wait_until_connected(10)
        return made

    device, cloud, dead = client("device"), client("sweep"), DeadWorkers()
    device.publish(DEVICE.topic("state"), b"x", retain=True)
    for number in range(50):
        device.publish(f"{DEVICE.topic('round')}/{number}", b"x" * 50_000, retain=True)
    stored: list[Delivery] = []
    device.subscribe("stored", stored.append)
    device.publish("stored", b"x")
    wait_until(lambda: stored, "the broker has all of it")
    sweep = RetainedSweep(cloud, dead)
    sweep.start()
    wait_until(lambda: sweep.cleared == 50, "all are cleared")
    sweep.stop()
    left: list[Delivery] = []
    late = client("late")
    late.subscribe(EVERYTHING, left.append)
    wait_until(lambda: left, "what stays has come")
    settled: list[Delivery] = []
    late.subscribe("settle", settled.append)
    late.publish("settle", b"x")
    wait_until(lambda: settled, "all that is retained has come")
    assert [one.topic for one in left] == [DEVICE.topic("state")]
    for one in (device, cloud, late):
        one.stop()
