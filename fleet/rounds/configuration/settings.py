"""What `splitsight fleet federate --config FILE` reads."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from fleet.rounds.configuration.deprecations import strategy_section
from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.strategies.base import STRATEGIES
from fleet.rounds.strategies.settings import FedAvgSettings, StrategySettings
from shared.bundles.manifest import VERSION
from shared.certification.certificate import PromiseLimits
from shared.federation.protocol import Scope, Sharing
from shared.settings import Settings, load_settings, resolve_paths
from shared.transport.mqtt import BrokerSettings


class ScopeSettings(Settings):
    """What is trained, and what of it stays with each device."""

    from_block: int = Field(default=7, ge=0, description="the first block of the head that learns")
    encoder: bool = Field(default=True, description="the bottleneck's encoder learns too")
    decoder: bool = Field(default=False, description="and its decoder in the cloud")
    normalisation: Sharing = Field(
        default="shared", description="local: each device keeps its own (FedBN)"
    )
    judgement: Sharing = Field(
        default="shared", description="local: each device keeps its own map head"
    )

    def as_scope(self) -> Scope:
        return Scope(**self.model_dump())


class LocalSettings(Settings):
    """How a device trains within a round."""

    epochs: int = Field(default=1, ge=1, le=100)
    batch: int = Field(default=8, ge=1, le=256)
    rate: float = Field(default=2e-3, gt=0, le=1, description="of the map head and the encoder")
    last_rate: float = Field(
        default=0.1, gt=0, le=1, description="share of the rate that the last round ends with"
    )
    block_share: float = Field(default=0.2, gt=0, le=1, description="of the rate, for blocks")
    decay: float = Field(default=0.02, ge=0, description="of weights")
    versions: int = Field(default=4, ge=1, le=32, description="of each picture, changed at random")


class InProcessSettings(Settings):
    """Devices within this process: the domains of a data set."""

    data: Path = Field(description="a CSV manifest with the column `domain`")
    domains: tuple[str, ...] = Field(default=(), description="only these; empty: all")
    at_once: int = Field(default=1, ge=0, description="devices that train at a time; 0: all")


class MqttGridSettings(Settings):
    """Devices over the fleet's MQTT."""

    broker: BrokerSettings = BrokerSettings()  # type: ignore[call-arg]
    grace_s: float = Field(
        default=8.0, gt=0, le=600, description="a device may be offline for so long in a round"
    )


class PromiseSettings(Settings):
    """What the candidate's certificate is to promise, shares of parts."""

    escapes: float = Field(
        default=0.02, gt=0, lt=0.5, description="defective parts that pass at the edge"
    )
    overkill: float = Field(
        default=0.05, gt=0, lt=1, description="good parts that are rejected at the edge"
    )
    system: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="defective parts that pass edge and cloud together; unless given, twice "
        "`escapes`: as many again may slip through the cloud",
    )
    delta: float = Field(default=0.05, gt=0, lt=1, description="how likely each may be wrong")

    @field_validator("system")
    @classmethod
    def _above_the_edges(cls, system: float | None, info: ValidationInfo) -> float | None:
        escapes = info.data.get("escapes")
        if system is not None and escapes is not None and system <= escapes:
            raise ValueError(
                f"edge and cloud together can't let through {system:g}, the edge alone {escapes:g}"
            )
        return system

    @property
    def limits(self) -> PromiseLimits:
        system = 2 * self.escapes if self.system is None else self.system
        return PromiseLimits(self.escapes, self.overkill, system, self.delta)


class ReleaseSettings(Settings):
    """What becomes of the rounds' result: a candidate bundle, which waits for a person."""

    bundle: Path = Field(description="the present bundle, which the base network belongs to")
    candidates: Path = Field(
        default=Path("fleet/candidates"), description="where candidates wait for approval"
    )
    version: str = Field(
        default="", pattern=rf"^$|{VERSION}", description="of the candidate; empty: the next"
    )
    margin: float = Field(
        default=0.02, ge=0, lt=1, description="AUROC that no device may lose on its own parts"
    )
    promise: PromiseSettings = PromiseSettings()
    policy: Literal["person", "certified"] = Field(
        default="person",
        description="who approves: a person, or certified: whatever has a certificate and no "
        "device loses by goes into the releases' draft, unless it rejects more good parts than "
        "before. Keys sign it, whoever approves",
    )


class RoundSettings(Settings):
    """A run of federated rounds."""

    base: Path = Field(description="the base network, from `splitsight cloud base`")
    folder: Path = Field(description="the run's journal and result")
    scope: ScopeSettings = ScopeSettings()
    local: LocalSettings = LocalSettings()
    least_devices: int = Field(default=2, ge=1, description="a round with fewer is void")
    least_parts: int = Field(default=1, ge=1, description="labelled parts a device must have")
    share: float = Field(default=1.0, gt=0, le=1, description="of the devices, asked each round")
    deadline_s: float = Field(default=600.0, gt=0, description="for a device's update")
    answer_s: float = Field(
        default=5.0,
        gt=0,
        le=300,
        description="for a device to say that it is there; Flower's own engine needs 60",
    )
    patience_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="over MQTT a round with too few devices waits so long for others to come",
    )
    void_limit: int = Field(default=3, ge=1, description="void rounds in a row that end the run")
    strategy: SerializeAsAny[StrategySettings] = Field(
        default=FedAvgSettings(), description="how updates are mixed"
    )
    privacy: PrivacySettings = PrivacySettings()
    release: ReleaseSettings | None = Field(
        default=None, description="make a candidate bundle after the last round"
    )
    in_process: InProcessSettings | None = None
    mqtt: MqttGridSettings | None = None


@cache
def settings_model(strategy: str = "") -> type[RoundSettings]:
    """RoundSettings with `strategy` as a union of the kinds that can be loaded.

    strategy   one that was named on the command line, as the last release wanted it
    """

    class Current(RoundSettings):
        @model_validator(mode="before")
        @classmethod
        def _current_names(cls, values: Any) -> Any:
            return strategy_section(values, strategy)

    return create_model(
        "RoundSettings",
        __base__=Current,
        __doc__=RoundSettings.__doc__,
        strategy=(STRATEGIES.settings(), FedAvgSettings()),
    )


def load_round_settings(path: Path, strategy: str = "") -> RoundSettings:
    """Read a configuration file. Raises SettingsError that lists every mistake."""
    return resolve_paths(load_settings(path, settings_model(strategy)), path.resolve().parent)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a rounds' configuration, with every installed strategy."""
    return settings_model().model_json_schema()
