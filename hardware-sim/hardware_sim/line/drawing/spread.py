"""Distributions that a configuration can name: how sizes, contrasts and rates vary."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from shared.settings import Settings

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Constant(Settings):
    """Always the same."""

    kind: Literal["constant"] = "constant"
    value: Finite

    @property
    def bounds(self) -> tuple[float, float]:
        return self.value, self.value

    def draw(self, rng: np.random.Generator) -> float:  # noqa: ARG002 - as its siblings
        return self.value


class _Bounded(Settings):
    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _in_order(self) -> _Bounded:
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must not lie above high ({self.high:g})")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def _clipped(self, value: float) -> float:
        return min(max(value, self.low), self.high)


class Uniform(_Bounded):
    """Anything from low to high, each as likely."""

    kind: Literal["uniform"] = "uniform"

    def draw(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(self.low, self.high))


class Normal(_Bounded):
    """Normal; what lies outside low and high becomes low and high."""

    kind: Literal["normal"] = "normal"
    mean: Finite
    deviation: Finite = Field(ge=0, description="standard deviation")

    def draw(self, rng: np.random.Generator) -> float:
        return self._clipped(float(rng.normal(self.mean, self.deviation)))


class LogNormal(_Bounded):
    """Log-normal: mostly small, now and then large; clipped to low and high."""

    kind: Literal["log_normal"] = "log_normal"
    median: Finite = Field(gt=0)
    sigma: Finite = Field(ge=0, description="standard deviation of the natural logarithm")

    def draw(self, rng: np.random.Generator) -> float:
        return self._clipped(float(rng.lognormal(np.log(self.median), self.sigma)))


Spread = Annotated[Constant | Uniform | Normal | LogNormal, Field(discriminator="kind")]


def within(spread: Constant | Uniform | Normal | LogNormal, low: float, high: float) -> None:
    """Raises ValueError where it could give something outside low to high."""
    least, most = spread.bounds
    if least < low or most > high:
        raise ValueError(f"gives {least:g} to {most:g}; it must stay within {low:g} to {high:g}")
