"""A site of many light devices, a cloud with a fleet, and one release that is rolled out."""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from cloud.broker.embedded import EmbeddedBroker
from fleet.rollouts.plan import Ring, RolloutPlan
from fleet.rollouts.roster import lot
from hardware_sim.processes.child import Child, stop_all
from hardware_sim.processes.cloud import CloudProcess
from hardware_sim.scale.fleet import orders as files
from hardware_sim.scale.fleet.worker import LINE, SITE, device_name
from hardware_sim.scale.recording import record
from hardware_sim.scale.rollout.behaviour import Behaviour
from hardware_sim.scale.rollout.orders import (
    STOP,
    BoxOrders,
    BoxOutcome,
    BoxProgress,
    BoxStory,
    Stop,
)
from hardware_sim.scale.rollout.report import RolloutReport, kept_by, seconds_until_back
from hardware_sim.scale.rollout.site import label_fields, make_site
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from shared.errors import ProcessError
from shared.loopback import free_port
from shared.topics import Address

READY_TIMEOUT_S = 180.0
LONGEST_S = 3600.0
STORED_S = 3.0
POLL_S = 0.25
Tend = Callable[[], None]


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """One run of `splitsight sim rollout`.

    every_s       from one part of a device to its next
    shadow_parts, health_s   as in a plan
    spared        devices, the first to be asked, on which a bad release does well
    """

    bundle: Path
    devices: int = 200
    release: Behaviour = "good"
    every_s: float = 1.0
    escalated: float = 0.02
    shadow_parts: int = 20
    health_s: float = 10.0
    soak_s: float = 3.0
    spared: int = 0
    workers: int = 2
    runtime: str = "auto"
    seed: int = 0
    port: int = 0

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
    """Broker, cloud, workers; started, rolled out to, counted, ended."""

    def __init__(self, options: RolloutOptions, folder: Path) -> None:
        """Raises what making releases and recording findings raises."""
        self.options = options
        self.folder = folder
        bundle = Bundle.open(options.bundle)
        self.site = make_site(folder, bundle, SystemClock())
        self._recording = folder / files.RECORDING
        record(bundle, options.runtime)[0].save(self._recording)
        self._broker_port = free_port()
        self.broker = EmbeddedBroker("auto", "127.0.0.1", self._broker_port)
        self.cloud = CloudProcess(
            folder,
            options.bundle,
            port=options.port or free_port(),
            broker_port=self._broker_port,
            sections={
                "runtime": {"name": options.runtime, "threads": 1},
                **self.site.home.service,
            },
        )
        self.status: dict[str, Any] = {}
        self.workers = [self._worker(n, part) for n, part in enumerate(self._shares(), start=1)]

    def run(self, tend: Tend) -> RolloutReport:
        """Raises ProcessError where a process fails or it never ends; call `stop` then."""
        self.start(tend)
        began = time.monotonic()
        self.status = self._tell(
            "/api/fleet/rollouts",
            {
                "target": self.site.new.path,
                "plan": self.options.plan.model_dump(mode="json"),
                "by": "the simulator",
            },
        )
        stopping_at, ended_at = self._watch(tend)
        self._wait(lambda: time.monotonic() > ended_at + STORED_S, LONGEST_S, "time passes", tend)
        stories = self._finish(tend)
        return self._report(stories, began, stopping_at, ended_at)

    def start(self, tend: Tend) -> None:
        """Returns when the cloud has heard from every device what it runs."""
        self.broker.start()
        self.cloud.start()
        self._wait(lambda: self.cloud.answers, READY_TIMEOUT_S, "the cloud answers", tend)
        for worker in self.workers:
            worker.start()
        self._wait(self._all_heard, READY_TIMEOUT_S, "every device says what it runs", tend)

    def stop(self) -> None:
        """End workers first, then the cloud, then the broker."""
        stop_all(self.workers)
        stop_all([self.cloud.child])
        self.broker.stop()

    def progress(self) -> list[BoxProgress]:
        """How far each worker is."""
        paths = [files.progress_of(self.folder, worker.name) for worker in self.workers]
        return [files.read(path, BoxProgress) or BoxProgress() for path in paths]

    def _watch(self, tend: Tend) -> tuple[float | None, float]:
        """Until it has ended; when it began to go back, and when it ended, monotonic seconds."""
        stopping_at: list[float] = []

        def over() -> bool:
            found = self.cloud.ask(f"/api/fleet/rollouts/{self.status['id']}")
            if isinstance(found, dict):
                self.status = found
            if self.status["state"] in {"returning", "stopped"} and not stopping_at:
                stopping_at.append(time.monotonic())
            return self.status["state"] in {"done", "stopped", "paused"}

        self._wait(over, LONGEST_S, "the rollout has ended", tend)
        return (stopping_at[0] if stopping_at else None), time.monotonic()

    def _all_heard(self) -> bool:
        rows = self.cloud.ask("/api/fleet/health")
        wanted = {"model": self.site.old.path}
        heard = [r for r in rows if r["running"] == wanted] if isinstance(rows, list) else []
        return len(heard) == self.options.devices

    def _finish(self, tend: Tend) -> list[BoxStory]:
        files.write(self.folder / STOP, Stop(time.monotonic()))
        self._wait(
            lambda: all(worker.exit_code == 0 for worker in self.workers),
            READY_TIMEOUT_S,
            "every worker has written down what it saw",
            tend,
        )
        stories: list[BoxStory] = []
        for worker in self.workers:
            outcome = files.read(files.outcome_of(self.folder, worker.name), BoxOutcome)
            if outcome is None:
                raise worker.failure()
            stories += outcome.stories
        return stories

    def _report(
        self, stories: list[BoxStory], began: float, stopping_at: float | None, ended_at: float
    ) -> RolloutReport:
        options, new = self.options, self.site.new.path
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
            machine=f"{os.cpu_count()} cores {platform.machine()}",
            measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _tell(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            self.cloud.url + path,
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30.0) as answer:  # noqa: S310
                told: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            raise ProcessError(
                f"the cloud refused the rollout: {error.read().decode(errors='replace')}",
                fix=f"its log is {self.cloud.child.log}",
            ) from error
        return told

    def _wait(self, condition: Callable[[], bool], timeout_s: float, what: str, tend: Tend) -> None:
        give_up = time.monotonic() + timeout_s
        pause = threading.Event()
        while not condition():
            tend()
            for child in (self.cloud.child, *self.workers):
                if child.exit_code:
                    raise child.failure("run it again; with --keep its whole log stays")
            if time.monotonic() > give_up:
                raise ProcessError(
                    f"after {timeout_s:.0f} s it is still not so that {what}",
                    fix="the machine may be too busy: use fewer devices, or a longer --every",
                )
            pause.wait(POLL_S)

    def _shares(self) -> list[tuple[int, int]]:
        workers = min(self.options.workers, self.options.devices)
        bounds = [self.options.devices * n // workers for n in range(workers + 1)]
        return list(itertools.pairwise(bounds))

    def _worker(self, number: int, devices: tuple[int, int]) -> Child:
        name, options = f"worker-{number}", self.options
        home = self.site.home.updates(self.folder)
        wanted = BoxOrders(
            name=name,
            recording=str(self._recording.resolve()),
            broker_port=self._broker_port,
            devices=devices,
            every_s=options.every_s,
            escalated=options.escalated,
            seed=options.seed,
            gateway=home["server"],
            ca=home["ca"],
            root=home["root"],
            base=str(self.site.base.resolve()),
            label=label_fields(self.site.label),
            behaves={self.site.new.bundle: options.release},
            spared=self._first_asked(options.spared),
        )
        path = self.folder / f"{name}.json"
        path.write_bytes(msgspec.json.encode(wanted))
        command = [sys.executable, "-m", "hardware_sim.scale.rollout.worker", str(path)]
        return Child(name, command, self.folder / f"{name}.log")

    def _first_asked(self, count: int) -> list[str]:
        names = [device_name(number) for number in range(self.options.devices)]
        target = self.site.new.path
        return sorted(names, key=lambda name: lot(target, Address(SITE, LINE, name)))[:count]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
