from __future__ import annotations

import pytest

from edge.link.presence import EVERY_S, MAX_PROBLEMS, Presence, Snapshot
from edge.monitoring.health import BoxHealth
from shared.clock import ManualClock
from shared.transport.memory import MemoryBroker, MemoryTransport
from shared.wire import StateMessage, decode
from tests.edge.rigs import ADDRESS

TOPIC = ADDRESS.topic("state")


class Device:
    """A presence whose agent the test plays."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.transport: MemoryTransport = self.broker.transport()
        self.clock = ManualClock()
        self.snapshot = Snapshot(camera="live")
        self.presence = Presence(
            self.transport,
            ADDRESS,
            boot="b",
            bundle="c",
            runtime="onnx CPU",
            clock=self.clock,
            look=lambda: self.snapshot,
        )
        self.presence.listen()
        self.transport.start(self.presence.will)

    def tick(self, seconds: float = EVERY_S) -> None:
        self.clock.advance(seconds)
        self.presence.tick()

    def retained(self) -> StateMessage:
        return decode(self.broker.retained[TOPIC].payload, StateMessage)[0]


@pytest.fixture
def device() -> Device:
    return Device()


def test_a_device_shows_that_it_is_online_and_how(device: Device) -> None:
    device.tick()
    shown = device.retained()
    assert (shown.state, shown.boot, shown.bundle, shown.runtime) == (
        "online",
        "b",
        "c",
        "onnx CPU",
    )
    assert shown.camera == "live"


def test_a_state_is_published_when_it_changed_but_not_more_often_than_wanted(
    device: Device,
) -> None:
    device.tick()
    device.snapshot = Snapshot(inspected=5)
    device.tick(EVERY_S / 10)
    device.snapshot = Snapshot(inspected=6)
    device.tick(EVERY_S / 10)
    assert len(device.broker.published) == 1
    device.tick()
    device.tick()
    assert len(device.broker.published) == 2
    assert device.retained().inspected == 6


def test_a_device_that_vanishes_is_offline_and_comes_back_by_itself(device: Device) -> None:
    device.tick()
    device.broker.drop(device.transport)
    assert device.retained().state == "offline"
    device.transport.restore()
    device.tick(0.1)
    assert device.retained().state == "online"


def test_a_device_that_stops_says_so(device: Device) -> None:
    device.tick()
    device.presence.stopping()
    assert device.retained().state == "stopping"
    device.transport.stop(device.presence.will)
    assert device.retained().state == "offline"


def test_many_long_problems_still_fit_into_a_message(device: Device) -> None:
    device.snapshot = Snapshot(camera="x" * 5000, problems=("y" * 5000,) * 50)
    device.tick()
    assert len(device.retained().problems) == MAX_PROBLEMS


def test_a_problem_is_shown_until_it_is_solved_and_without_passwords() -> None:
    health = BoxHealth()
    health.problem("camera", "rtsp://me:secret@host/1 is away")
    health.problem("actuator", "no answer")
    assert [*health.problems] == ["actuator: no answer", "camera: rtsp://***@host/1 is away"]
    health.well("camera")
    assert [*health.problems] == ["actuator: no answer"]
