"""What `strategy:` may say in a run's configuration, a class for each of Flower's that we bring."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.settings import Settings


class StrategySettings(Settings):
    """The base of every strategy's. `kind` is the name under which the strategy is installed."""

    kind: str


class FedAvgSettings(StrategySettings):
    """The mean, weighted by pictures."""

    kind: Literal["fedavg"] = "fedavg"


class FedBNSettings(StrategySettings):
    """The same mean; normalisation stays with each device (Li et al. 2021)."""

    kind: Literal["fedbn"] = "fedbn"


class FedProxSettings(StrategySettings):
    """The same mean; straying from what came costs a device (Li et al. 2020)."""

    kind: Literal["fedprox"] = "fedprox"
    mu: float = Field(default=0.01, ge=0, description="the price of straying")


class FedAdamSettings(StrategySettings):
    """The coordinator takes steps by Adam; statistics are averaged (Reddi et al. 2021)."""

    kind: Literal["fedadam"] = "fedadam"
    eta: float = Field(default=0.01, gt=0, description="rate of the coordinator's step")
    tau: float = Field(default=1e-3, gt=0, description="what keeps a step's divisor from zero")


class MedianSettings(StrategySettings):
    """The median of each value: one poisoned device hardly moves it."""

    kind: Literal["median"] = "median"


class KrumSettings(StrategySettings):
    """The one update that lies nearest to the others (Blanchard et al. 2017)."""

    kind: Literal["krum"] = "krum"
    malicious: int = Field(default=1, ge=0, description="devices that may be malicious")
