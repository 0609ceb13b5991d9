"""What can be done to a plant on a scenario's timeline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hardware_sim.camera.faults import Effect
from hardware_sim.network.conditions import Conditions
from shared.settings import Settings

ALL = "all"
Seconds = Annotated[float, Field(ge=0, le=36_000)]
Device = Annotated[str, Field(description="a device's name, or `all`")]


class Fault(Settings):
    """Something that happens at an instant; what lasts ends by itself after `for_s`."""

    at_s: Seconds = Field(description="after the plant has come up")

    @property
    def ends_s(self) -> float:
        """When all is as before, seconds after the plant has come up."""
        return self.at_s + getattr(self, "for_s", 0.0)


class NetworkFault(Fault):
    """The link between a device and its broker becomes as bad as `conditions` say."""

    kind: Literal["network"] = "network"
    device: Device = ALL
    for_s: Seconds
    conditions: Conditions


class CutFault(Fault):
    """Connections between a device and its broker are reset; new ones may be made at once."""

    kind: Literal["cut"] = "cut"
    device: Device = ALL


class BrokerFault(Fault):
    """The broker is killed, and started again after `for_s`."""

    kind: Literal["broker"] = "broker"
    for_s: Seconds = 1.0


class CloudFault(Fault):
    """The cloud's process is killed, and started again after `for_s`."""

    kind: Literal["cloud"] = "cloud"
    for_s: Seconds = 1.0


class CameraFault(Fault):
    """A camera's picture suffers from `effect`."""

    kind: Literal["camera"] = "camera"
    device: Device = ALL
    for_s: Seconds
    effect: Effect


class PowerFault(Fault):
    """A device's power is cut, and comes back after `for_s`."""

    kind: Literal["power"] = "power"
    device: Device = ALL
    for_s: Seconds = 2.0


class ResetFault(Fault):
    """The accelerator's driver is reset: it refuses to work for `for_s`."""

    kind: Literal["driver_reset"] = "driver_reset"
    device: Device
    for_s: Seconds = 2.0


class AmbientFault(Fault):
    """It gets as hot as `celsius` around a device."""

    kind: Literal["ambient"] = "ambient"
    device: Device
    for_s: Seconds
    celsius: float = Field(ge=-40, le=120)


class BurstFault(Fault):
    """Of the next `parts` parts, the share `rate` is defective."""

    kind: Literal["burst"] = "burst"
    device: Device = ALL
    parts: int = Field(ge=1, le=100_000)
    rate: float = Field(ge=0, le=1)


class SpeedFault(Fault):
    """The belt runs at another speed from now on."""

    kind: Literal["speed"] = "speed"
    device: Device = ALL
    speed: float = Field(gt=0, le=50, description="m/s")


AnyFault = Annotated[
    NetworkFault
    | CutFault
    | BrokerFault
    | CloudFault
    | CameraFault
    | PowerFault
    | ResetFault
    | AmbientFault
    | BurstFault
    | SpeedFault,
    Field(discriminator="kind"),
]


def aimed_at(fault: Fault) -> str | None:
    """The device's name, `all`, or None for what concerns no device."""
    device: str | None = getattr(fault, "device", None)
    return device
