"""Rollouts of new models while a scenario runs: one after the other, each with a pair of its own.

The networks are the present bundle's, so that verdicts stay; but no worker has a new pair's tail
before it is served, and no box its head before it is asked.
"""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from pydantic import Field

from fleet.releases.drafts import Drafts
from fleet.releases.keys import load_key
from fleet.releases.publisher import Publisher
from fleet.releases.release_builder import Adding, ReleaseNote
from fleet.rollouts.rollout import ACTIVE
from hardware_sim.processes.fleet_folder import FleetHome
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import TAIL
from shared.clock import Clock
from shared.features.novelty import NOVELTY
from shared.log import get_logger
from shared.releases import ANY_HARDWARE
from shared.settings import Settings

log = get_logger("scenario")

ROLLOUTS = "/api/v1/fleet/rollouts"
AGAIN_S = 5.0
KEPT = 2


class RolloutSettings(Settings):
    """How often the boxes are given a new model."""

    from_s: float = Field(default=30.0, ge=0)
    every_s: float = Field(default=300.0, ge=1, description="at the earliest after the one before")
    shadow_parts: int = Field(default=4, ge=1, description="that it looks at beside the live one")
    health_s: float = Field(default=5.0, gt=0, description="that it must run well")

    @property
    def plan(self) -> dict[str, Any]:
        """A box, then all; nobody is asked."""
        rings = [{"name": "first", "devices": 1}, {"name": "all", "share": 1.0}]
        return {"rings": rings, "shadow_parts": self.shadow_parts, "health_s": self.health_s}


class RolloutOutcome(msgspec.Struct, frozen=True):
    """What became of a rollout."""

    target: str
    state: str
    reason: str


class Conducts(Protocol):
    """The cloud's API; `hardware_sim.processes.cloud.ServedCloud`."""

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """What it answers. Raises OSError where it does not, or refuses."""


class AnyWorker:
    """The one of a cloud's workers that keeps the fleet, whichever that is just now."""

    def __init__(self, workers: Sequence[Conducts]) -> None:
        self._workers = list(workers)

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Raises OSError as the last one that was asked does."""
        *others, last = self._workers
        for worker in others:
            try:
                return worker.call(method, path, body)
            except OSError as error:
                log.debug("asked_another_worker", reason=str(error))
        return last.call(method, path, body)


class ScheduledRollouts:
    """Starts the next one when the one before is over and its time has come.

    outcomes   of all, oldest first, as they stood when the cloud was last asked
    """

    def __init__(
        self, publish: Callable[[], str], settings: RolloutSettings, cloud: Conducts
    ) -> None:
        """publish: the next release; its target path"""
        self._publish = publish
        self._target = ""
        self._settings = settings
        self._cloud = cloud
        self._started_at: float | None = None
        self.outcomes: list[RolloutOutcome] = []

    def step(self, now: float) -> None:
        """Ask how they stand, once, and begin what is due. now: seconds from the scenario's
        start"""
        try:
            self.outcomes = self._asked()
            self._begin(now)
        except urllib.error.HTTPError as error:
            # Before a box has said what it runs, nobody can be asked.
            log.warning("rollout_not_begun", status=error.code, reason=error.read().decode()[:300])
        except OSError as error:
            # The worker that conducts rollouts is down itself: it goes on when it is back.
            log.info("rollout_not_begun", reason=str(error))

    def _asked(self) -> list[RolloutOutcome]:
        found = self._cloud.call("GET", ROLLOUTS)
        return [
            RolloutOutcome(one["target"], one["state"], one["reason"]) for one in reversed(found)
        ]

    def _begin(self, now: float) -> None:
        started = self._started_at
        early = now < self._settings.from_s or (
            started is not None and now - started < self._settings.every_s
        )
        if early or any(one.state in ACTIVE for one in self.outcomes):
            return
        self._target = self._target or self._publish()
        body = {"target": self._target, "plan": self._settings.plan, "by": "scenario"}
        self._cloud.call("POST", ROLLOUTS, body)
        self._target, self._started_at = "", now


class PublishedModels:
    """Releases of one bundle under later and later versions, the last KEPT of them published."""

    def __init__(self, home: FleetHome, bundle: Path, clock: Clock) -> None:
        self._home = home
        self._bundle = Bundle.open(bundle)
        self._clock = clock
        self._paths: list[str] = []

    def __call__(self) -> str:
        """Publish the next; its target path. Raises BundleError, ReleaseError."""
        drafts = Drafts(self._home.store, self._clock)
        adding = Adding(drafts, deltas=0)
        word = ReleaseNote((ANY_HARDWARE,), approved_by="scenario")
        facts = adding.add_model(self._next(), word)
        self._paths.append(facts.path)
        # A worker opens every tail that is published, each time that it starts.
        if len(self._paths) > KEPT:
            adding.remove(self._paths.pop(0))
        drafts.sign([load_key(self._home.keys / "models.pem", None)])
        Publisher(self._home.store, self._clock).publish()
        return facts.path

    def _next(self) -> Bundle:
        major, minor, patch = (int(part) for part in self._bundle.manifest.version.split("."))
        version = f"{major}.{minor}.{patch + 1}"
        files: dict[str, bytes | None] = {TAIL: _renamed(self._bundle.read(TAIL), version)}
        if NOVELTY in self._bundle.manifest.files:
            files[NOVELTY] = None
        target = self._home.folder.parent / "models" / version
        self._bundle = amend_bundle(self._bundle, {"version": version}, target, files)
        return self._bundle


def _renamed(model: bytes, version: str) -> bytes:
    import onnx  # noqa: PLC0415 - for these scenarios alone

    loaded = onnx.load_from_string(model)
    loaded.doc_string = version
    return bytes(loaded.SerializeToString())
