from __future__ import annotations

import json

import pytest
import structlog

from edge.actuator.log import LogActuator, LogActuatorSettings
from edge.actuator.mqtt import MqttActuator, MqttActuatorSettings
from shared.clock import ManualClock
from shared.errors import ActuatorError
from shared.transport.memory import MemoryBroker


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
    assert json.loads(sent.payload) == {"part": 7, "verdict": "reject", "in_ms": 250}


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
    actuator.actuate(7, "review", at=0.0)
    (sent,) = broker.published
    told = json.loads(sent.payload)
    assert {name: told[name] for name in told.keys() - {"in_ms"}} == {"part": 7, **said}


def test_the_mqtt_actuator_can_leave_passes_out() -> None:
    broker = MemoryBroker()
    settings = MqttActuatorSettings(topic="plant/e", passes=False)
    actuator = MqttActuator(settings, broker.transport(), ManualClock())
    actuator.start()
    actuator.actuate(1, "pass", at=0.0)
    assert broker.published == []


def test_a_plants_broker_that_is_away_is_an_actuator_error_with_what_to_do() -> None:
    transport = MemoryBroker().transport()
    actuator = MqttActuator(MqttActuatorSettings(topic="plant/e"), transport, ManualClock())
    with pytest.raises(ActuatorError, match=r"part 7 can't be told 'reject'.*actuator\.broker"):
        actuator.actuate(7, "reject", at=0.0)
    actuator.stop()
