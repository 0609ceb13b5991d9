"""A scenario: a plant, what is done to it and when, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from hardware_sim.scenario.chaos import ChaosSettings
from hardware_sim.scenario.coherence import ScenarioElements, problems, readable
from hardware_sim.scenario.device import DeviceSettings
from hardware_sim.scenario.faults.base import ALL, FAULTS, Fault
from hardware_sim.scenario.inspector import OperatorSettings
from hardware_sim.scenario.rollouts import RolloutSettings
from shared.settings import Settings, load_settings
from shared.topics import NAME

SHIPPED = Path(__file__).parents[1] / "scenarios"
MAX_DEVICES = 16
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


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
    while_up: bool = Field(
        default=False,
        description="a part may be without a verdict where its box was off, stood still or was "
        "just starting",
    )
    late: Count | None = Field(
        default=None, description="verdicts that came when their part could not be stopped, at most"
    )
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
    rollouts_done: Count | None = Field(
        default=None, description="rollouts that must have come through, at least"
    )
    noticed: list[str] = Field(
        default=[], description="words that a device's problems must have shown"
    )


class CloudSide(Settings):
    """What answers the devices."""

    workers: int = Field(default=1, ge=1, le=8, description="processes that share the work")
    database: Literal["sqlite", "postgresql"] = "sqlite"

    @property
    def processes(self) -> list[str]:
        """The names of those that can be at fault."""
        database = ["database"] if self.database == "postgresql" else []
        return ["broker", *database, *(f"cloud-{one + 1}" for one in range(self.workers))]


class Scenario(Settings):
    """A plant, what is done to it, and what must come of it."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    about: str = Field(description="in one line, for people")
    seed: int = Field(default=0, ge=0)
    duration_s: float = Field(gt=0, le=14_400, description="that parts come by")
    bundle: Path | None = Field(default=None, description="none: the shipped one")
    devices: list[DeviceSettings] = Field(min_length=1, max_length=MAX_DEVICES)
    cloud: CloudSide = CloudSide()
    operator: OperatorSettings | None = None
    timeline: list[Fault] = Field(default=[])
    chaos: ChaosSettings | None = Field(default=None, description="faults at random moments too")
    rollouts: RolloutSettings | None = Field(
        default=None, description="new models, while all of this goes on"
    )
    expect: Expectations = Expectations()

    @model_validator(mode="wrap")
    @classmethod
    def _fits_together(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """What is wrong with single settings, and what with all of them together, at once."""
        try:
            scenario = handler(values)
            mistakes = []
            parts = ScenarioElements(
                scenario.duration_s,
                scenario.devices,
                list(enumerate(scenario.timeline)),
                scenario.cloud.processes,
            )
        except ValidationError as error:
            if not isinstance(values, Mapping):
                raise
            mistakes = [_again(detail) for detail in error.errors()]
            parts = readable(values)
        mistakes += [_mistake("scenario", *problem) for problem in problems(parts)]
        if mistakes:
            raise ValidationError.from_exception_data("Scenario", mistakes)
        return scenario

    @property
    def faults(self) -> list[Fault]:
        """What happens, planned and drawn."""
        if self.chaos is None:
            return list(self.timeline)
        names = [one.name for one in self.devices]
        drawn = self.chaos.drawn(names, self.cloud.processes, self.duration_s, self.seed)
        return [*self.timeline, *drawn]

    def named(self, device: str) -> list[str]:
        """The devices that a fault is aimed at."""
        return [one.name for one in self.devices if device in {ALL, one.name}]


def _mistake(kind: str, loc: tuple[str | int, ...], told: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError(kind, "{told}", {"told": told}), loc=loc, input=None
    )


def _again(detail: ErrorDetails) -> InitErrorDetails:
    """The same mistake, to be raised together with others."""
    context = {**detail.get("ctx", {}), "told": detail["msg"]}
    # Errors keep their own type, by which messages for people are chosen.
    kind = PydanticCustomError(detail["type"], "{told}", context)
    return InitErrorDetails(type=kind, loc=detail["loc"], input=detail["input"])


@cache
def scenario_model() -> type[Scenario]:
    """Scenario with `timeline` of the kinds of fault that can be loaded."""
    timeline: Any = (list[FAULTS.settings()], [])  # type: ignore[misc]
    return create_model("Scenario", __base__=Scenario, __doc__=Scenario.__doc__, timeline=timeline)


def load_scenario(path: Path) -> Scenario:
    """Read a scenario: a file, or a shipped one by its name, `scenarios/NAME.yaml` too.

    Raises SettingsError that lists every mistake with its line.
    """
    if not path.exists() and path.parent in {Path(), Path("scenarios")}:
        shipped = SHIPPED / f"{path.stem}.yaml"
        path = shipped if shipped.is_file() else path
    scenario = load_settings(path, scenario_model())
    if scenario.bundle is None:
        return scenario
    changed: dict[str, Any] = {"bundle": path.resolve().parent / scenario.bundle}
    return scenario.model_copy(update=changed)
