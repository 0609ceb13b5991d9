"""Kills and standstills at random moments, one process at a time on its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from hardware_sim.scenario.faults.base import Fault, Seconds
from hardware_sim.scenario.faults.device import PowerFault
from hardware_sim.scenario.faults.process import (
    BrokerFault,
    CloudFault,
    DatabaseFault,
    PauseFault,
)
from shared.settings import Settings

SETTLE_S = 30.0
"""Before the end: what is down last is back and well by then."""


class ChaosSettings(Settings):
    """What is killed or stands still, and how often; drawn from the scenario's seed."""

    what: list[Literal["box", "broker", "cloud", "database"]] = Field(
        default=["box", "broker", "cloud"], description="a plant on SQLite has no `database`"
    )
    from_s: Seconds = 5.0
    every_s: float = Field(
        default=20.0, gt=0, description="from one fault of a process to its next, on average"
    )
    back_s: float = Field(default=1.0, ge=0, description="a killed one is started again after")
    pauses: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1, description="share of the faults that are a standstill and no kill"
    )
    pause_s: float = Field(default=30.0, gt=0, description="how long one stands still")

    def drawn(
        self, devices: Sequence[str], processes: Sequence[str], duration_s: float, seed: int
    ) -> list[Fault]:
        """The faults of a run, in order; of one process they never overlap.

        processes   that can be at fault, besides the devices' boxes
        """
        dice = random.Random(seed)  # noqa: S311 - a schedule, no secret
        targets = [("box", name) for name in devices] if "box" in self.what else []
        targets += [(kind, name) for name in processes if (kind := _kind(name)) in self.what]
        faults = [one for kind, name in targets for one in self._of(kind, name, duration_s, dice)]
        return sorted(faults, key=lambda fault: fault.at_s)

    def _of(self, kind: str, name: str, duration_s: float, dice: random.Random) -> Iterator[Fault]:
        at = self.from_s
        while True:
            at = round(at + dice.expovariate(1 / self.every_s), 2)
            paused = dice.random() < self.pauses
            lasts = self.pause_s if paused else self.back_s
            if at + lasts > duration_s - SETTLE_S:
                return
            yield _paused(kind, name, at, lasts) if paused else _killed(kind, name, at, lasts)
            at += lasts


def _kind(process: str) -> str:
    return process.partition("-")[0]


def _worker(process: str) -> int:
    return int(process.partition("-")[2] or 1)


def _killed(kind: str, name: str, at: float, lasts: float) -> Fault:
    if kind == "box":
        return PowerFault(at_s=at, for_s=lasts, device=name)
    if kind == "cloud":
        return CloudFault(at_s=at, for_s=lasts, worker=_worker(name))
    made = BrokerFault if kind == "broker" else DatabaseFault
    return made(at_s=at, for_s=lasts)


def _paused(kind: str, name: str, at: float, lasts: float) -> Fault:
    about: dict[str, object] = {"device": name} if kind == "box" else {"worker": _worker(name)}
    return PauseFault.model_validate({"at_s": at, "for_s": lasts, "what": kind, **about})
