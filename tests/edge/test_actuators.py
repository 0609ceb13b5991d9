from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
import structlog

from edge.actuator.log import LogActuator, LogActuatorSettings
from edge.actuator.mqtt import IN_FLIGHT, KIND, MqttActuator, MqttActuatorSettings
from shared.clock import ManualClock, SystemClock
from shared.errors import ActuatorError
from shared.transport.memory import MemoryBroker
from shared.transport.mqtt import MqttTransport
from tests.support.brokers import at, mosquitto
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("passes", "told"),
    [
        (False, ["part_rejected", "part_reviewed"]),
        (True, ["part_passed", "part_rejected", "part_reviewed"]),
    ],
)
def test_the_log_actuator_logs_what_was_asked_for(passes: bool, told: list[str]) -> None:
    actuator = LogActuator(LogActuatorSettings(passes=passes))
    with structlog.testing.capture_logs() as logs:
        actuator.start()
        actuator.actuate(1, "pass", at=1.0)
        actuator.actuate(2, "reject", at=1.0)
        actuator.actuate(3, "review", at=1.0)
        actuator.stop()
    assert [entry["event"] for entry in logs] == told


def test_the_mqtt_actuator_tells_part_verdict_and_time_left() -> None:
    broker, clock = MemoryBroker(), ManualClock()
    actuator = MqttActuator(MqttActuatorSettings(topic="plant/e"), broker.transport(), clock)
    actuator.start()
    actuator.actuate(7, "reject", at=clock.monotonic() + 0.25)
    (sent,) = broker.published
    assert sent.topic == "plant/e"
    told = json.loads(sent.payload)
    assert told.pop("at") == pytest.approx(clock.utc() + 0.25, abs=0.001)
    assert told == {"part": 7, "verdict": "reject", "in_ms": 250}


def test_a_verdict_whose_part_has_passed_is_an_error_and_not_told() -> None:
    broker, clock = MemoryBroker(), ManualClock()
    actuator = MqttActuator(MqttActuatorSettings(topic="plant/e"), broker.transport(), clock)
    actuator.start()
    at = clock.monotonic()
    clock.advance(0.1)
    actuator.actuate(7, "reject", at=at)
    clock.advance(3.0)
    with pytest.raises(ActuatorError, match=r"part 8 has passed 3\.1 s ago"):
        actuator.actuate(8, "reject", at=at)
    assert [json.loads(sent.payload)["in_ms"] for sent in broker.published] == [-100]


@pytest.mark.parametrize(
    ("review_bin", "said"),
    [(False, {"verdict": "reject", "review": True}), (True, {"verdict": "review"})],
)
def test_a_part_to_review_is_diverted_with_a_mark_or_into_a_bin_of_its_own(
    *, review_bin: bool, said: dict[str, object]
) -> None:
    broker = MemoryBroker()
    settings = MqttActuatorSettings(topic="plant/e", passes=False, review_bin=review_bin)
    actuator = MqttActuator(settings, broker.transport(), ManualClock())
    actuator.start()
    actuator.actuate(7, "review", at=ManualClock().monotonic())
    (sent,) = broker.published
    told = json.loads(sent.payload)
    assert {name: told[name] for name in told.keys() - {"in_ms", "at"}} == {"part": 7, **said}


def test_the_mqtt_actuator_can_leave_passes_out() -> None:
    broker = MemoryBroker()
    settings = MqttActuatorSettings(topic="plant/e", passes=False)
    actuator = MqttActuator(settings, broker.transport(), ManualClock())
    actuator.start()
    actuator.actuate(1, "pass", at=ManualClock().monotonic())
    assert broker.published == []


def test_a_plants_broker_that_is_away_is_an_actuator_error_with_what_to_do() -> None:
    transport = MemoryBroker().transport()
    actuator = MqttActuator(MqttActuatorSettings(topic="plant/e"), transport, ManualClock())
    with pytest.raises(ActuatorError, match=r"part 7 can't be told 'reject'.*actuator\.broker"):
        actuator.actuate(7, "reject", at=ManualClock().monotonic())
    actuator.stop()


@pytest.mark.process
def test_a_broker_that_stands_still_gets_next_to_nothing_that_it_could_deliver_late(
    tmp_path: Path,
) -> None:
    clock = SystemClock()
    heard: list[dict[str, float]] = []
    with mosquitto(tmp_path) as port:
        broker = max(psutil.Process().children(), key=psutil.Process.create_time)
        plc = MqttTransport(at(port), "plc")
        plc.start()
        assert plc.wait_until_connected(15.0)
        plc.subscribe("plant/e", lambda sent: heard.append(json.loads(sent.payload)))
        settings = MqttActuatorSettings(topic="plant/e", broker=at(port))
        actuator = KIND.open(settings, clock)
        actuator.start()
        part = 0

        def tell() -> bool:
            nonlocal part
            part += 1
            try:
                actuator.actuate(part, "reject", at=clock.monotonic() + 0.49)
            except ActuatorError:
                return False
            return True

        wait_until(tell, "the plant's broker takes verdicts")
        wait_until(lambda: heard, "they arrive")
        broker.suspend()
        stopped = clock.utc()
        wait_until(lambda: not tell(), "the box is told that nothing is taken")
        wait_until(lambda: clock.utc() > stopped + 2.0 and not tell(), "and goes on to be")
        broker.resume()
        resumed = clock.utc()
        wait_until(tell, "they are taken again")
        last = part
        wait_until(lambda: any(one["part"] == last for one in heard), "and arrive")
        actuator.stop()
        plc.stop()
    late = [one for one in heard if stopped < one["at"] < resumed - 0.5]
    assert len(late) <= IN_FLIGHT
    # Whoever has the same clock sees that these are late, whatever they say is left.
    assert all(one["in_ms"] > 0 for one in late)
