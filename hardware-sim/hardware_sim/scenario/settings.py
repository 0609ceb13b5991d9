"""A scenario: a plant, what is done to it and when, and what must come of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from hardware_sim.compute.profiles import load_profile
from hardware_sim.line_run import LineRunSettings
from hardware_sim.network.conditions import Conditions
from hardware_sim.operator import OperatorSettings
from hardware_sim.scenario.faults import ALL, AmbientFault, AnyFault, ResetFault, aimed_at
from shared.errors import SettingsError
from shared.settings import Settings, load_settings
from shared.topics import NAME

MAX_DEVICES = 16
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class DeviceSettings(Settings):
    """One camera box, its line, and the link to its broker."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    line: LineRunSettings = LineRunSettings()
    network: Conditions = Field(default=Conditions(), description="when nothing is wrong")
    margin_ms: float = Field(
        default=100.0,
        ge=0,
        description="the box decides by itself so long before the ejector must know",
    )
    profile: str | None = Field(
        default=None, description="of the hardware it stands for; none: this machine as it is"
    )

    @property
    def given_ms(self) -> float:
        """From trigger to the last instant at which the ejector can obey."""
        return self.line.line.deadline_s * 1000

    @property
    def deadline_ms(self) -> int:
        """What the box is told to keep."""
        return int(self.given_ms - self.margin_ms)


class Expectations(Settings):
    """What must come of it. What is not named is measured and not judged."""

    no_part_without_verdict: bool = Field(
        default=True, description="the ejector was told of every part in time"
    )
    without_verdict: Count | None = Field(
        default=None, description="at most so many parts of which it was not, instead"
    )
    wrong_part: Count | None = Field(default=0, description="at most so many verdicts of others")
    lost: Count = Field(default=0, description="inspections that the cloud never got, at most")
    duplicates: Count = Field(default=0, description="inspections that it has twice, at most")
    escapes: Share | None = Field(default=None, description="of the defective parts, at most")
    overkill: Share | None = Field(default=None, description="of the good parts, at most")
    decided_by_deadline: Share | None = Field(default=None, description="of all parts, at most")
    p99_latency_ms: float | None = Field(
        default=None, gt=0, description="from trigger to verdict, at most"
    )
    recovered_within_s: float | None = Field(
        default=None,
        gt=0,
        description="after the last fault: every device online, nothing waiting, verdicts in time",
    )
    throttled: bool | None = Field(
        default=None, description="whether a device must have been slowed down by its heat"
    )
    noticed: list[str] = Field(
        default=[], description="words that a device's problems must have shown"
    )


class Scenario(Settings):
    """A plant, what is done to it, and what must come of it."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    about: str = Field(description="in one line, for people")
    seed: int = Field(default=0, ge=0)
    duration_s: float = Field(gt=0, le=7200, description="that parts come by")
    bundle: Path | None = Field(default=None, description="none: the shipped one")
    devices: list[DeviceSettings] = Field(min_length=1, max_length=MAX_DEVICES)
    operator: OperatorSettings | None = None
    timeline: list[AnyFault] = Field(default=[])
    expect: Expectations = Expectations()

    @model_validator(mode="after")
    def _fits_together(self) -> Scenario:
        problems = [
            InitErrorDetails(
                type=PydanticCustomError("scenario", "{problem}", {"problem": problem}),
                loc=loc,
                input=None,
            )
            for loc, problem in self._problems()
        ]
        if problems:
            raise ValidationError.from_exception_data("Scenario", problems)
        return self

    def named(self, device: str) -> list[str]:
        """The devices that a fault is aimed at."""
        return [one.name for one in self.devices if device in {ALL, one.name}]

    def _problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        names = Counter(device.name for device in self.devices)
        for index, device in enumerate(self.devices):
            if device.deadline_ms < 1:
                left = f"leaves the box no time: the line gives it {device.given_ms:.0f} ms"
                yield ("devices", index, "margin_ms"), left
            if device.profile is not None:
                try:
                    load_profile(device.profile)
                except SettingsError as error:
                    yield ("devices", index, "profile"), f"{error.message}; {error.fix}"
            if names[device.name] > 1 or device.name == ALL:
                yield ("devices", index, "name"), "is taken: each device needs a name of its own"
        profiles = {device.name: device.profile for device in self.devices}
        for index, fault in enumerate(self.timeline):
            aim = aimed_at(fault)
            if aim is not None and aim != ALL and aim not in names:
                known = ", ".join(names)
                yield ("timeline", index, "device"), f"there is no {aim!r}; there are {known}"
            if isinstance(fault, ResetFault | AmbientFault) and not profiles.get(fault.device):
                what = "needs a device with a `profile`: this machine has no driver or heat to act"
                yield ("timeline", index, "device"), what
            if fault.ends_s > self.duration_s:
                ends = f"ends {fault.ends_s:g} s in, after the scenario's {self.duration_s:g} s"
                yield ("timeline", index, "at_s"), ends


def load_scenario(path: Path) -> Scenario:
    """Read a scenario. Raises SettingsError that lists every mistake with its line."""
    scenario = load_settings(path, Scenario)
    if scenario.bundle is None:
        return scenario
    changed: dict[str, Any] = {"bundle": path.resolve().parent / scenario.bundle}
    return scenario.model_copy(update=changed)
