"""What a device's arithmetic, memory and cooling can do; each figure with where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from shared.errors import SettingsError
from shared.settings import Settings, load_settings
from shared.topics import NAME

SHIPPED = Path(__file__).parents[1] / "profiles"
SUFFIXES = {".yaml", ".yml"}


class SourcedFigure(Settings):
    """A number and where it comes from."""

    value: float = Field(gt=0, le=1e9)
    source: str = Field(
        min_length=1, description="a datasheet, a benchmark, a measurement, or `assumed`"
    )
    estimate: bool = Field(default=False, description="derived or guessed, not published as it is")


class Backend(Settings):
    """What really computes the outputs."""

    name: Literal["openvino", "onnx"] = "openvino"
    device: str = Field(default="CPU", description="as the backend names it")


class Operators(Settings):
    """What an integer-only device does with operators in float."""

    float_kinds: list[str] = Field(
        description="ONNX operators that may stay in float and run on the host; no others"
    )
    float_share: SourcedFigure = Field(description="of the multiply-accumulates, that may, at most")

    @model_validator(mode="after")
    def _is_a_share(self) -> Operators:
        if self.float_share.value > 1:
            raise ValueError("float_share must not lie above 1")
        return self


class HeatFigures(Settings):
    """A body with one temperature, heated by its losses and cooled by the air around it."""

    ambient_c: SourcedFigure = Field(description="of the air, °C")
    idle_w: SourcedFigure
    busy_w: SourcedFigure
    resistance_c_per_w: SourcedFigure = Field(description="from the chip to the air, °C a watt")
    time_constant_s: SourcedFigure = Field(description="after which 63 % of a change has happened")
    throttle_c: SourcedFigure = Field(description="it slows down from here on, °C")
    recover_c: SourcedFigure = Field(description="and is fast again from here down, °C")
    slow_down: SourcedFigure = Field(description="how many times slower it is meanwhile")

    @model_validator(mode="after")
    def _in_order(self) -> HeatFigures:
        if not self.ambient_c.value < self.recover_c.value < self.throttle_c.value:
            raise ValueError("ambient_c, recover_c and throttle_c must rise in this order")
        if self.busy_w.value < self.idle_w.value:
            raise ValueError("busy_w must not lie below idle_w")
        if self.slow_down.value < 1:
            raise ValueError("slow_down must not lie below 1")
        return self


class Driver(Settings):
    """How the device's driver behaves when it is reset."""

    reset_s: SourcedFigure = Field(description="seconds without inference")
    error: str = Field(min_length=12, description="what the real runtime raises meanwhile")


class DeviceProfile(Settings):
    """One kind of device that the head could run on."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    about: str
    backend: Backend = Backend()
    overhead_ms: SourcedFigure = Field(description="of each inference, whatever the model")
    int8_gmacs: SourcedFigure = Field(
        description="thousand million multiply-accumulates a second, int8"
    )
    float_gmacs: SourcedFigure = Field(
        description="the same in float32; on the host where there is one"
    )
    memory_mb: SourcedFigure = Field(description="for weights and the largest layer, 10⁶ B")
    operators: Operators | None = Field(default=None, description="none: everything runs")
    heat: HeatFigures
    driver: Driver


def profile_names() -> list[str]:
    """The profiles that are shipped."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_profile(name: str) -> DeviceProfile:
    """A shipped profile by its name, or any by its YAML file.

    Raises SettingsError, for mistakes in the file with their lines.
    """
    if Path(name).suffix in SUFFIXES:
        return load_settings(Path(name), DeviceProfile)
    if name not in profile_names():
        raise SettingsError(
            f"{name!r} is no device profile",
            fix=f"use one of {', '.join(profile_names())}, or a YAML file",
        )
    return load_settings(SHIPPED / f"{name}.yaml", DeviceProfile)
