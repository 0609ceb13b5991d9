"""What people may say: bodies of the API and of the page's forms, checked in shape only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from fleet.rollouts.plan import RolloutPlan
from shared.errors import SettingsError
from shared.redaction import SECRET_NAME

Who = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=63)]
Value = str | int | float | bool
KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*){0,7}")
MOST_SETTINGS = 64
LONGEST_VALUE = 1024


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Who | None = Field(
        default=None, description="who wants it; counts only where the caller has no account"
    )


class Start(_Said):
    """That a release should reach its devices."""

    target: str = Field(min_length=1, max_length=255, description="path of a published release")
    plan: RolloutPlan = Field(default_factory=RolloutPlan)


class RolloutRequest(_Said):
    """That a rollout should go another way."""

    reason: str = Field(default="", max_length=300)


class Configure(_Said):
    """Which settings a device should run with, instead of those in its own file; all of them."""

    device: str = Field(min_length=1, max_length=200)
    settings: dict[str, Value] = Field(max_length=MOST_SETTINGS)

    @model_validator(mode="after")
    def _are_settings(self) -> Self:
        for key, value in self.settings.items():
            problem = problem_of(key, value)
            if problem:
                raise ValueError(problem)
        return self


def problem_of(key: str, value: Value) -> str:
    """What is wrong with a setting's shape; empty: nothing. The device checks the rest."""
    if len(key) > 100 or not KEY.fullmatch(key):
        return f"{key[:100]!r} is not a dotted key, as in deadline_ms or camera.fps"
    if SECRET_NAME.search(key):
        return f"{key} is a secret: write it into the device's own file, not over the network"
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return f"{key} is longer than {LONGEST_VALUE} characters"
    return ""


def parse_settings(words: Iterable[str]) -> dict[str, Value]:
    """`deadline_ms=400` and the like; values as in YAML. Raises SettingsError."""
    settings: dict[str, Value] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise SettingsError(f"{word[:100]!r} sets nothing", fix="write key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        if not isinstance(value, str | int | float | bool):
            value = text
        problem = problem_of(key, value)
        if problem:
            raise SettingsError(problem, fix="docs/reference/edge-config.schema.json has the keys")
        settings[key] = value
    return settings
