"""What one device may send, so that it silences no other."""

from __future__ import annotations

from structlog.testing import capture_logs

from cloud.inference.guard import GuardedTransport
from cloud.inference.quota import MOST_PLACES, DeviceQuota
from cloud.inference.throttle import LogThrottle
from shared import wire
from shared.clock import ManualClock
from shared.topics import Address, everyone
from shared.transport.base import Arrival, subscribe
from shared.transport.memory import MemoryBroker
from tests.cloud.makers import DEVICE, NOON

STATE = wire.encode(wire.StateMessage("online", "b1", NOON))


class Guarded:
    """A cloud that listens to states behind quotas."""

    def __init__(self, *, messages_per_s: float = 10.0, names: int = 100) -> None:
        self.clock = ManualClock(utc=NOON)
        self.broker = MemoryBroker()
        self.quota = DeviceQuota(self.clock, messages_per_s=messages_per_s, names=names)
        self.cloud = GuardedTransport(self.broker.transport(), self.quota, self.clock)
        self.came: list[str] = []
        for _ in range(3):
            subscribe(self.cloud, everyone("state"), wire.StateMessage, self._state)
        self.cloud.start()
        self.device = self.broker.transport()
        self.device.start()

    def say(self, payload: bytes, device: Address = DEVICE, times: int = 1) -> None:
        for _ in range(times):
            self.device.publish(device.topic("state"), payload)

    def _state(self, arrival: Arrival[wire.StateMessage]) -> None:
        self.came.append(arrival.address.device)


def test_what_a_device_sends_over_its_quota_is_not_read_and_costs_no_other() -> None:
    plant, good = Guarded(), Address("plant", "line-1", "good")
    with capture_logs() as logs:
        plant.say(STATE, times=5000)
        plant.say(STATE, good, times=20)
    assert plant.came.count("box-1") == 3 * 100
    assert plant.came.count("good") == 3 * 20
    assert plant.quota.refused == 4900
    assert [one["event"] for one in logs] == ["over_quota"]
    assert plant.quota.problems[0].startswith("box-1 sends more than its quota")
    plant.clock.advance(61)
    plant.say(STATE)
    assert plant.quota.problems == []
    assert plant.came.count("box-1") == 3 * 101


def test_a_flood_of_what_can_not_be_read_is_logged_once_then_by_count() -> None:
    plant, other = Guarded(messages_per_s=1000), Address("plant", "line-1", "other")
    with capture_logs() as logs:
        plant.say(b"nonsense", times=500)
        plant.say(b"nonsense", other)
        plant.clock.advance(61)
        plant.say(b"nonsense")
    assert [(one["event"], one["messages"]) for one in logs] == [
        ("bad_message", 1),
        ("bad_message", 1),
        ("bad_message", 500),
    ]


def test_made_up_names_are_bounded_and_known_devices_go_on() -> None:
    plant = Guarded(names=50)
    plant.say(STATE)
    with capture_logs() as logs:
        for number in range(500):
            plant.say(STATE, Address("plant", "line-1", f"made-up-{number}"))
    plant.say(STATE)
    assert len(set(plant.came)) == 50
    assert plant.came[-1] == "box-1"
    assert [one["event"] for one in logs] == ["too_many_devices"]
    assert "More than 50 devices speak" in plant.quota.problems[0]
    plant.clock.advance(3601)
    plant.say(STATE, Address("plant", "line-1", "new"))
    assert plant.came[-1] == "new"


def test_a_device_speaks_for_few_places_only() -> None:
    plant = Guarded(messages_per_s=1000)
    for number in range(100):
        plant.say(STATE, Address("plant", f"line-{number}", "box-1"))
    assert len(plant.came) == 3 * MOST_PLACES
    (told,) = plant.quota.problems
    assert told.startswith("box-1 speaks for more than 64 sites and lines")
    assert "Give each box a `device` of its own" in told


def test_a_throttle_keeps_a_bounded_number_of_kinds() -> None:
    throttle = LogThrottle(ManualClock())
    assert sum(throttle.may_tell(str(number)) for number in range(20_000)) == 10_000
