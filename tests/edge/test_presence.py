from __future__ import annotations

from pathlib import Path

import pytest

from edge.link.presence import BEAT_S, EVERY_S, MAX_PROBLEMS, Presence, Snapshot
from edge.monitoring.health import BoxHealth
from shared.clock import ManualClock, SystemClock
from shared.transport.base import subscribe
from shared.transport.memory import MemoryBroker, MemoryTransport
from shared.transport.mqtt import MqttTransport
from shared.wire import StateMessage, decode, encode
from tests.edge.rigs import ADDRESS
from tests.support.brokers import at, mosquitto
from tests.support.waiting import wait_until

TOPIC = ADDRESS.topic("state")


class Device:
    """A presence whose agent the test plays."""

    def __init__(self, broker: MemoryBroker | None = None) -> None:
        self.broker = broker or MemoryBroker()
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


def test_a_device_that_stands_still_says_now_and_then_that_it_is_there(device: Device) -> None:
    device.tick()
    first = device.retained()
    for _ in range(int(BEAT_S / EVERY_S) + 1):
        device.tick()
    assert len(device.broker.published) == 2
    again = device.retained()
    # Retained, as what it said before: who comes later reads when it last spoke.
    assert again.at - first.at == pytest.approx(BEAT_S, abs=EVERY_S)
    assert again.beat_s == BEAT_S
    assert len(encode(again)) < 200


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


def test_each_problem_says_since_when_whatever_its_text_and_the_clock_do(device: Device) -> None:
    begun = device.clock.utc()
    device.snapshot = Snapshot(problems=("camera: away",))
    device.presence.tick()
    device.snapshot = Snapshot(problems=("camera: away for 10 s", "disk: full"))
    device.tick(10.0)
    shown = device.retained()
    assert shown.problems == ("camera: away for 10 s", "disk: full")
    assert shown.since == pytest.approx((begun, begun + 10.0))
    device.snapshot = Snapshot(problems=("disk: full",))
    device.tick()
    device.snapshot = Snapshot(problems=("camera: away",))
    device.tick(100.0)
    assert device.retained().since == pytest.approx((device.clock.utc(),))


def test_the_links_problems_are_shown_with_the_boxs_own(device: Device) -> None:
    device.snapshot = Snapshot(problems=("camera: away",))
    device.transport.problems["topic e"] = "the broker refuses a message: not authorised"
    device.tick()
    assert device.retained().problems == (
        "topic e: the broker refuses a message: not authorised",
        "camera: away",
    )


def test_a_camera_in_trouble_is_a_problem_with_its_beginning(device: Device) -> None:
    for text in ("blank: the picture is dark since part 7", "retrying in 3 s: no stream"):
        device.snapshot = Snapshot(camera=text)
        device.tick()
        assert device.retained().problems == (f"camera: {text}",)
    assert device.retained().since == pytest.approx((device.clock.utc() - EVERY_S,))
    device.snapshot = Snapshot(camera="live")
    device.tick()
    assert not device.retained().problems


def test_another_client_of_this_name_is_told(device: Device) -> None:
    device.tick()
    assert not device.retained().problems
    other = device.broker.transport()
    other.start()
    other.publish(TOPIC, encode(StateMessage("online", "another-boot", 1.0)), retain=True)
    device.tick()
    (problem,) = device.retained().problems
    assert problem == "name: another client uses the name plant/line/box"


def test_what_was_left_from_before_this_start_is_no_other_client() -> None:
    broker = MemoryBroker()
    before = broker.transport()
    before.start()
    before.publish(TOPIC, encode(StateMessage("online", "earlier-boot", 1.0)), retain=True)
    device = Device(broker)
    # The will of a connection that was lost earlier.
    before.publish(TOPIC, encode(StateMessage("offline", "earlier-boot", 1.0)), retain=True)
    device.tick()
    assert not device.retained().problems


@pytest.mark.process
def test_two_boxes_of_one_name_are_told_on_a_real_broker(tmp_path: Path) -> None:
    """They end each other's connections, and neither is ever there when the other one speaks."""
    clock, boxes = SystemClock(), []
    with mosquitto(tmp_path) as port:
        for boot in ("one", "two"):
            transport = MqttTransport(at(port), "box")
            presence = Presence(
                transport,
                ADDRESS,
                boot=boot,
                bundle="c",
                runtime="r",
                clock=clock,
                look=Snapshot,
            )
            presence.listen()
            transport.start(presence.will)
            boxes.append((transport, presence))
        watcher, shown = MqttTransport(at(port), "watcher"), []
        subscribe(watcher, TOPIC, StateMessage, lambda said: shown.append(said.message))
        watcher.start()

        def told() -> bool:
            for _, presence in boxes:
                presence.tick()
            return any("uses the name" in text for one in shown for text in one.problems)

        wait_until(told, "the fight is shown")
        for transport, _ in boxes:
            transport.stop()
        watcher.stop()
