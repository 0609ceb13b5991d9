"""A site of many light devices, a cloud with a fleet, and one release that is rolled out."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.rollouts.plan import Ring, RolloutPlan
from fleet.rollouts.roster import lot
from hardware_sim.scale.device import device_address
from hardware_sim.scale.orders import RECORDING
from hardware_sim.scale.recording import record
from hardware_sim.scale.rollout.behaviour import Behaviour
from hardware_sim.scale.rollout.report import (
    BoxStory,
    RolloutReport,
    kept_by,
    seconds_until_back,
)
from hardware_sim.scale.rollout.site import make_site
from hardware_sim.scale.rollout.worker import BoxOrders, BoxOutcome
from hardware_sim.scale.trial import Tend, TrialOptions, TrialRunner, this_machine
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from shared.format import iso

LONGEST_S = 3600.0
STORED_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutOptions(TrialOptions):
    """One run of `splitsight sim rollout`.

    shadow_parts, health_s   as in a plan
    spared        devices, the first to be asked, on which a bad release does well
    """

    devices: int = 200
    release: Behaviour = "good"
    every_s: float = 1.0
    escalated: float = 0.02
    shadow_parts: int = 20
    health_s: float = 10.0
    soak_s: float = 3.0
    spared: int = 0

    @property
    def plan(self) -> RolloutPlan:
        """One device, 5 %, 25 %, all."""
        return RolloutPlan(
            rings=(
                Ring(name="canary", devices=1, soak_s=self.soak_s),
                Ring(name="5 %", share=0.05, soak_s=self.soak_s),
                Ring(name="25 %", share=0.25, soak_s=self.soak_s),
                Ring(name="100 %", share=1.0),
            ),
            patience_s=900,
            shadow_parts=self.shadow_parts,
            health_s=self.health_s,
        )


class RolloutTrial:
    """Devices that run one release, and the way of the next one to them."""

    def __init__(self, options: RolloutOptions, folder: Path) -> None:
        """Raises what making releases and recording findings raises."""
        bundle = Bundle.open(options.bundle)
        self.status: dict[str, Any] = {}
        self._options = options
        self._site = site = make_site(folder, bundle, SystemClock())
        recording, _ = record(bundle, options.runtime)
        recording.require(options.escalated)
        recording.save(folder / RECORDING)
        self.runner = TrialRunner(options, options.devices, folder, site.home.service)
        updates = site.home.updates(folder)
        self.runner.add_workers(
            "hardware_sim.scale.rollout.worker",
            BoxOrders,
            site.base,
            gateway=updates["server"],
            ca=updates["ca"],
            root=updates["root"],
            label=site.label,
            behaves={site.new.bundle: options.release},
            spared=self._first_asked(options.spared),
        )

    def run(self, tend: Tend) -> RolloutReport:
        """Raises ProcessError where a process fails or it never ends; stop the runner then."""
        runner = self.runner
        runner.tend = tend
        runner.start()
        runner.start_workers()
        runner.wait_for(self._all_heard, "every device says what it runs")
        began = time.monotonic()
        self.status = runner.cloud.post(
            "/api/v1/fleet/rollouts",
            {
                "target": self._site.new.path,
                "plan": self._options.plan.model_dump(mode="json"),
                "by": "the simulator",
            },
        )
        stopping_at, ended_at = self._watch()
        runner.wait_until(ended_at + STORED_S)
        runner.signal(time.monotonic())
        stories = [story for one in runner.outcomes(BoxOutcome) for story in one.stories]
        return self._report(stories, began, stopping_at, ended_at)

    def _watch(self) -> tuple[float | None, float]:
        """Until it has ended; when it began to go back, and when it ended, monotonic seconds."""
        stopping_at: list[float] = []

        def over() -> bool:
            found = self.runner.cloud.ask(f"/api/v1/fleet/rollouts/{self.status['id']}")
            if isinstance(found, dict):
                self.status = found
            if self.status["state"] in {"returning", "stopped"} and not stopping_at:
                stopping_at.append(time.monotonic())
            return self.status["state"] in {"done", "stopped", "paused"}

        self.runner.wait_for(over, "the rollout has ended", LONGEST_S)
        return (stopping_at[0] if stopping_at else None), time.monotonic()

    def _all_heard(self) -> bool:
        rows = self.runner.cloud.ask("/api/v1/fleet/health")
        wanted = {"model": self._site.old.path}
        heard = [r for r in rows if r["running"] == wanted] if isinstance(rows, list) else []
        return len(heard) == self._options.devices

    def _report(
        self, stories: list[BoxStory], began: float, stopping_at: float | None, ended_at: float
    ) -> RolloutReport:
        options, new = self._options, self._site.new.path
        bad = options.release != "good"
        ran = sum(any(path == new for path, _ in story.ran) for story in stories)
        keep_it = sum(story.ran[-1][0] == new for story in stories if story.ran)
        gaps = [story.gap_s for story in stories]
        return RolloutReport(
            devices=options.devices,
            release=options.release,
            state=self.status["state"],
            reason=self.status["reason"],
            stopped_at_share=self.status["touched"] if stopping_at is not None else None,
            live_share=round(ran / options.devices, 4),
            back_on_old_s=_rounded(seconds_until_back(stories, new)) if bad else None,
            returned_s=_rounded(ended_at - stopping_at) if stopping_at is not None else None,
            reached_share=round(min(keep_it / options.devices, kept_by(self.status)), 4)
            if not bad
            else round(keep_it / options.devices, 4),
            gap_s=round(max(gaps), 2),
            gap_median_s=round(statistics.median(gaps), 2),
            every_s=options.every_s,
            crashes=sum(story.crashes for story in stories),
            minutes=round((ended_at - began) / 60, 2),
            parts=sum(story.parts for story in stories),
            shadow_parts=options.shadow_parts,
            health_s=options.health_s,
            spared=options.spared,
            machine=this_machine(),
            measured_at=iso(),
        )

    def _first_asked(self, count: int) -> list[str]:
        addresses = [device_address(number) for number in range(self._options.devices)]
        asked = sorted(addresses, key=lambda address: lot(self._site.new.path, address))
        return [address.device for address in asked[:count]]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
