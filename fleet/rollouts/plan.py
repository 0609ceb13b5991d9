"""How a rollout goes about its devices: rings, thresholds, gates and patience."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from shared.settings import Settings, load_settings
from shared.topics import Address

MINUTES_A_DAY = 24 * 60
DAY_S = 86_400.0


class Ring(Settings):
    """Devices that get a release together, after those of the rings before.

    `devices`, `share` or `groups` says which: a number or a share of all of them, those of earlier
    rings counted in, or names.
    """

    name: str = Field(min_length=1, max_length=40)
    devices: int | None = Field(default=None, ge=1, description="so many of all devices")
    share: float | None = Field(default=None, gt=0, le=1, description="this share of all devices")
    groups: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="globs of site/line/device, as in plant/line-2/*"
    )
    success: float = Field(
        default=1.0, gt=0, le=1, description="share of its devices that must keep the release"
    )
    errors: float = Field(
        default=1.0,
        gt=0,
        description="failures that stop the rollout; below 1: a share of the ring's devices",
    )
    soak_s: float = Field(
        default=0.0, ge=0, le=30 * DAY_S, description="how long it is watched before the next ring"
    )
    approval: bool = Field(default=False, description="a person must approve before it begins")

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if sum(way is not None for way in (self.devices, self.share, self.groups)) != 1:
            raise ValueError("say which devices by one of `devices`, `share` and `groups`")
        return self

    def failures_that_stop(self, members: int) -> int:
        """How many of its members may not fail."""
        wanted = self.errors if self.errors >= 1 else self.errors * members
        return max(1, math.ceil(wanted))


def default_rings() -> tuple[Ring, ...]:
    """One device, then 5 %, 25 % and all."""
    return (
        Ring(name="canary", devices=1, soak_s=600),
        Ring(name="5 %", share=0.05, soak_s=600),
        Ring(name="25 %", share=0.25, errors=0.02, success=0.98, soak_s=600),
        Ring(name="100 %", share=1.0, errors=0.02, success=0.98),
    )


class RolloutPlan(Settings):
    """A rollout's rings, and what its devices are told."""

    rings: tuple[Ring, ...] = Field(default_factory=default_rings, min_length=1, max_length=20)
    at_once: float = Field(
        default=1.0, gt=0, le=1, description="share of all devices that may change at a time"
    )
    patience_s: float = Field(
        default=1800.0, gt=0, le=30 * DAY_S, description="how long a device may take"
    )
    silent_s: float = Field(
        default=60.0,
        gt=0,
        le=DAY_S,
        description="a device that took the release and is not heard of for so long has failed",
    )
    away_s: float = Field(
        default=3600.0,
        gt=0,
        le=400 * DAY_S,
        description="a device that was offline for so long at the start is not waited for",
    )
    shadow_parts: int = Field(default=20, ge=0, le=100_000)
    health_s: float = Field(default=60.0, gt=0, le=7 * DAY_S)
    window: tuple[int, int] | None = Field(
        default=None, description="minutes of the UTC day in which devices may switch"
    )

    @model_validator(mode="after")
    def _rings_grow(self) -> Self:
        shares = [ring.share for ring in self.rings if ring.share is not None]
        counts = [ring.devices for ring in self.rings if ring.devices is not None]
        for numbers, what in ((shares, "shares"), (counts, "numbers of devices")):
            if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
                raise ValueError(
                    f"the rings' {what} must ascend, they are "
                    + ", ".join(f"{number:g}" for number in numbers)
                )
        names = [ring.name for ring in self.rings]
        if len(set(names)) < len(names):
            raise ValueError(f"two rings have one name: {', '.join(names)}")
        if self.window is not None and not all(0 <= at < MINUTES_A_DAY for at in self.window):
            raise ValueError(f"a window is two minutes of the day, 0 to {MINUTES_A_DAY - 1}")
        return self

    @property
    def longest_s(self) -> float:
        """How long a device may take, its maintenance window waited for."""
        return self.patience_s + (DAY_S if self.window is not None else 0.0)


def with_approval(plan: RolloutPlan) -> RolloutPlan:
    """The plan whose first ring waits for a person, too."""
    first, *others = plan.rings
    asked = first.model_copy(update={"approval": True})
    return plan.model_copy(update={"rings": (asked, *others)})


def with_canary(plan: RolloutPlan, group: str) -> RolloutPlan:
    """The plan with these devices as its first ring."""
    first = plan.rings[0].model_copy(update={"devices": None, "share": None, "groups": (group,)})
    return plan.model_copy(update={"rings": (first, *plan.rings[1:])})


def read_plan(path: Path | None, canary: str | None = None) -> RolloutPlan:
    """The plan in a file, or the usual one; with these devices first, where they are named.

    Raises SettingsError that lists every mistake.
    """
    plan = load_settings(path, RolloutPlan) if path is not None else RolloutPlan()
    return plan if canary is None else with_canary(plan, canary)


def matches(groups: Sequence[str], address: Address) -> bool:
    """Whether one of the globs names the device."""
    place = f"{address.site}/{address.line}/{address.device}"
    return any(fnmatchcase(place, group) for group in groups)


def divide(plan: RolloutPlan, order: Sequence[Address]) -> tuple[dict[Address, int], list[str]]:
    """The ring of each device that is in one, and the groups that name no device.

    order   of preference: a ring that takes a number or a share takes the first that are left
    """
    ring_of: dict[Address, int] = {}
    unmatched: list[str] = []
    for number, ring in enumerate(plan.rings):
        if ring.groups is not None:
            unmatched += [g for g in ring.groups if not any(matches((g,), a) for a in order)]
            taken = [a for a in order if a not in ring_of and matches(ring.groups, a)]
        else:
            wanted = ring.devices or max(1, math.floor((ring.share or 0.0) * len(order) + 1e-9))
            left = max(0, wanted - len(ring_of))
            taken = [a for a in order if a not in ring_of][:left]
        ring_of.update(dict.fromkeys(taken, number))
    return ring_of, unmatched
