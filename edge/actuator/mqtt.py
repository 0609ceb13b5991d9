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

PATIENCE_S = 0.5
"""A connection on which nothing is acknowledged for so long is given up: what waits in it would
reach the ejector late, and say that it was in time."""
IN_FLIGHT = 2
"""Nobody can call back what the network has already: these are all that can come late."""


class MqttActuatorSettings(Settings):
    """Publish each verdict as JSON: {"part": 7, "verdict": "reject", "in_ms": 412, "at": …}.

    `in_ms` counts from when it was sent; `at` is the same moment in UTC seconds, for who has the
    same clock and wants to know whether a message comes late.
    """

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
    late_ms: int = Field(
        default=200,
        ge=0,
        le=60_000,
        description="a verdict is not told any more so many milliseconds after its part has passed",
    )


class MqttActuator:
    """Tells verdicts to a topic, or raises: it keeps none for later."""

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
        left = at - self._clock.monotonic()
        if left < -self._settings.late_ms / 1000:
            raise ActuatorError(
                f"part {part} has passed {-left:.1f} s ago, and is not told {verdict!r} any more",
                fix="see why the box was late: its processor, its disk",
            )
        said: dict[str, int | float | str] = {
            "part": part,
            "verdict": verdict,
            "in_ms": round(left * 1000),
            "at": round(self._clock.utc() + left, 3),
        }
        if verdict == "review" and not self._settings.review_bin:
            said |= {"verdict": FAIL_SAFE, "review": True}
        payload = json.dumps(said).encode()
        try:
            expires_s = max(0.0, left) + self._settings.late_ms / 1000
            self._transport.publish(self._settings.topic, payload, expires_s=expires_s)
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
    transport = MqttTransport(settings.broker, "", patience_s=PATIENCE_S, in_flight=IN_FLIGHT)
    return MqttActuator(settings, transport, clock)


KIND = ActuatorKind("mqtt", MqttActuatorSettings, _open)
