"""How much a run lets the server see of a device: settings, the choice they lead to, the noise."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fleet.rounds.configuration.accountant import Accountant
from fleet.rounds.configuration.deprecations import privacy_names
from shared.errors import FederationError, SettingsError
from shared.federation.masking import FEWEST
from shared.federation.protocol import Scope
from shared.log import get_logger
from shared.settings import Settings

log = get_logger("rounds")

MOST_NOISE = 1.0
"""Of a whole run, in sizes of the values: beyond it networks came apart, see docs/benchmarks.md."""


class PrivacySettings(Settings):
    """What the server may see, and what a run may tell about a device."""

    secure_aggregation: bool = Field(
        default=True, description="the server sees sums only, from 3 devices up"
    )
    require_secure_aggregation: bool = Field(
        default=False, description="no round in which it sees more"
    )
    clip: float = Field(default=100.0, gt=0, description="L2 norm that changes are scaled down to")
    times_median: float = Field(
        default=10.0, gt=1, description="longer than so many medians: set aside (not of sums)"
    )
    floor: float = Field(
        default=0.25,
        gt=0,
        description="under secure aggregation a value may change by this much",
    )
    reach: float = Field(default=0.5, ge=0, description="and by this share of its size")
    most_examples: int = Field(
        default=1024, ge=1, le=65_536, description="under secure aggregation, more count as so many"
    )
    step_s: float = Field(
        default=10.0, gt=0, description="for each of the three exchanges after the training"
    )
    noise: float = Field(
        default=0.0, ge=0, description="differential privacy: noise on the sum, in clip norms"
    )
    delta: float = Field(default=1e-5, gt=0, lt=1, description="of differential privacy")
    budget: float = Field(default=math.inf, gt=0, description="ε at which the run stops")

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, values: Any) -> Any:
        return privacy_names(values)

    @model_validator(mode="after")
    def _hold_together(self) -> PrivacySettings:
        if self.require_secure_aggregation and not self.secure_aggregation:
            raise ValueError(
                "require_secure_aggregation asks for what `secure_aggregation: false` turns off"
            )
        if self.noise == 0 and self.budget != math.inf:
            raise ValueError("a budget needs noise: without it one round has no bound")
        return self

    @property
    def private(self) -> bool:
        return self.noise > 0

    @property
    def accountant(self) -> Accountant | None:
        return Accountant(self.noise, self.delta, self.budget) if self.private else None


@dataclass(frozen=True, slots=True)
class ServerView:
    """What the server sees of a round, and why, in words for the report."""

    sums_only: bool
    why: str


def check_strategy(settings: PrivacySettings, strategy: str, *, compares: bool) -> None:
    """Raises SettingsError where a strategy needs what the settings hide.

    compares   whether it looks at each update by itself
    """
    if not compares:
        return
    if settings.secure_aggregation:
        raise SettingsError(
            f"`{strategy}` compares single updates, which secure aggregation hides",
            fix="choose fedavg, fedprox or fedadam, or set `privacy.secure_aggregation: false`",
        )
    if settings.private:
        raise SettingsError(
            f"no ε is known for `{strategy}`: one device can move its result by more than a mean's",
            fix="choose fedavg, fedprox or fedadam, or set `privacy.noise: 0`",
        )


def private_scope(scope: Scope) -> Scope:
    """What is shared where noise is added: no normalisation, which each device keeps to itself.

    A running variance that noise makes negative is no variance, and the network is none any more.
    Without noise it must not leave a device either: its statistics are those of its pictures.
    """
    if scope.normalisation == "shared":
        log.info("normalisation_stays_on_devices", why="noise would destroy it")
    return msgspec.structs.replace(scope, normalisation="local")


def check_noise(
    settings: PrivacySettings, values: NDArray[np.floating], devices: int, rounds: int
) -> None:
    """Raises FederationError where the noise of a whole run would drown what is shared.

    values   that are shared, before the first round
    """
    if not settings.private or not len(values):
        return
    noise = settings.noise * settings.clip / devices * math.sqrt(rounds)
    size = float(np.sqrt(np.mean(np.square(values))))
    if noise <= MOST_NOISE * size:
        return
    # Room for what is rounded where it is shown.
    most = 0.7 * settings.clip * MOST_NOISE * size / noise
    raise FederationError(
        f"{rounds} rounds with {devices} devices put noise of {noise:.2g} on each of {len(values)} "
        f"values, which are of the size {size:.2g}: nothing would be left of them",
        fix=f"set `privacy.clip: {most:.1g}`, plan fewer rounds, or wait for more devices",
    )


def what_is_seen(settings: PrivacySettings, devices: int) -> ServerView:
    """Whether a round of so many devices is summed under masks.

    Raises FederationError where it has to be, and they are too few.
    """
    if not settings.secure_aggregation:
        why = "secure aggregation is off: the server sees each update"
        return ServerView(sums_only=False, why=why)
    if devices >= FEWEST:
        return ServerView(sums_only=True, why=f"the server sees the sum of {devices} updates only")
    if settings.require_secure_aggregation:
        raise FederationError(
            f"{devices} devices take part; {FEWEST} are needed to hide each other's updates",
            fix="label parts on more devices, or set `privacy.require_secure_aggregation: false`",
        )
    return ServerView(
        sums_only=False,
        why=f"with {devices} devices the server sees each update: {FEWEST} could hide each other",
    )


def with_noise(
    mean: NDArray[np.floating],
    settings: PrivacySettings,
    devices: int,
    *,
    rounding: float = 0.0,
    seed: int | None = None,
) -> NDArray[np.float64]:
    """The mean of `devices` clipped changes of equal weight, with Gaussian noise on it.

    rounding   L2 norm by which encoding may have moved one device's change
    """
    deviation = settings.noise * (settings.clip + rounding) / devices
    rng = np.random.default_rng(secrets.randbits(128) if seed is None else seed)
    return np.asarray(mean, np.float64) + rng.normal(0.0, deviation, np.shape(mean))
