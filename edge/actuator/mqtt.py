"""An actuator behind a broker of the plant: a PLC or a gateway listens to the topic."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from edge.actuator.base import ActuatorKind
from shared.clock import Clock
from shared.contracts import FAIL_SAFE, Verdict
from shared.errors import ActuatorError, TransportError
from shared.settings import Settings
from shared.transport.base import Transport
from shared.transport.mqtt import BrokerSettings, MqttTransport


class MqttActuatorSettings(Settings):
    """Publish each verdict as JSON: {"part": 7, "verdict": "reject", "in_ms": 412}."""

    kind: Literal["mqtt"] = "mqtt"
    topic: str = Field(pattern=r"^[^+#\x00]+$", description="where the plant listens")
    broker: BrokerSettings = BrokerSettings()  # type: ignore[call-arg]
    passes: bool = Field(
        default=True, description="publish passed parts too, not only diverted ones"
    )
    review_bin: bool = Field(
        default=False,
        description="the line has a third way out, for parts that a person shall look at: they are "
        'published as "review"; false: as "reject", with "review": true',
    )


class MqttActuator:
    """Tells verdicts to a topic. `in_ms`: until the part passes, since clocks differ."""

    takes_review = True

    def __init__(self, settings: MqttActuatorSettings, transport: Transport, clock: Clock) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock

    def start(self) -> None:
        self._transport.start()

    def actuate(self, part: int, verdict: Verdict, *, at: float) -> None:
        if verdict == "pass" and not self._settings.passes:
            return
        in_ms = round((at - self._clock.monotonic()) * 1000)
        said: dict[str, int | str] = {"part": part, "verdict": verdict, "in_ms": in_ms}
        if verdict == "review" and not self._settings.review_bin:
            said |= {"verdict": FAIL_SAFE, "review": True}
        payload = json.dumps(said).encode()
        try:
            self._transport.publish(self._settings.topic, payload)
        except TransportError as error:
            raise ActuatorError(
                f"part {part} can't be told {verdict!r} on {self._settings.topic} "
                f"({error.message})",
                fix="check actuator.broker, and that the plant's broker runs",
            ) from error

    def stop(self) -> None:
        self._transport.stop()


def _open(settings: MqttActuatorSettings, clock: Clock) -> MqttActuator:
    # An empty client id lets the broker choose one: two boxes may share a plant's broker.
    return MqttActuator(settings, MqttTransport(settings.broker, ""), clock)


KIND = ActuatorKind("mqtt", MqttActuatorSettings, _open)
