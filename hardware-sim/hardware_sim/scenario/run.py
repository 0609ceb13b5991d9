"""Runs a scenario in real time: faults when they are due, and a look at everything each second."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hardware_sim.processes.cloud import ServedCloud
from hardware_sim.processes.session import StopSignal
from hardware_sim.scenario.faults.base import Fault, Undo
from hardware_sim.scenario.faults.line import SpeedFault
from hardware_sim.scenario.inspector import Doubtful, HttpDesk, SimulatedInspector
from hardware_sim.scenario.plant import Plant
from hardware_sim.scenario.rollouts import AGAIN_S, AnyWorker, RolloutOutcome, ScheduledRollouts
from hardware_sim.scenario.station import DeviceStation, PassedPart
from shared.clock import Clock
from shared.errors import ProcessError

STEP_S = 0.1
LOOK_S = 0.5
COME_UP_S = 60.0
SETTLE_S = 90.0
"""After the last part: for boxes to drain what waits, and to end."""

STALE_S = 8.0
"""A box says how it is every 2 s, as far as parts come and the network lets it."""
TROUBLED = ("frozen", "retrying")
"""States of a camera that are problems."""


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """How a device is at an instant, seconds after the start; None where nobody knows.

    online         the cloud has heard so, and lately
    waiting        inspections that its box holds and the cloud does not have
    bytes_up       sent through its link so far; bytes_down, received
    overrun_share  of its inferences, those that took this machine longer than the profile allows
    """

    at: float
    device: str
    online: bool
    waiting: int | None
    problems: tuple[str, ...]
    bytes_up: int
    bytes_down: int
    temperature_c: float | None
    throttled: bool
    overrun_share: float | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault began or ended, seconds after the start."""

    at: float
    what: str
    device: str
    began: bool


@dataclass(slots=True)
class Observed:
    """What was seen of a run.

    started   seconds on the monotonic clock; every other time counts from there
    passed    parts that have passed each device's ejector
    late      verdicts that came too late for that, by device
    rollouts  of new models, oldest first, as they stood when last asked for
    """

    started: float
    passed: dict[str, list[PassedPart]]
    looks: list[DeviceSnapshot] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    reviewed: int = 0
    ended_s: float = 0.0
    late: dict[str, int] = field(default_factory=dict)
    rollouts: list[RolloutOutcome] = field(default_factory=list)


class Run:
    """One run of a plant that has been started."""

    def __init__(
        self,
        plant: Plant,
        clock: Clock,
        stop: StopSignal,
        publish: Callable[[], str] | None = None,
    ) -> None:
        """stop: ends it early; publish: the next release to roll out meanwhile"""
        self._plant = plant
        self._clock = clock
        self._stop = stop
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._at_fault: set[tuple[str, str | None]] = set()
        self._observed = Observed(clock.monotonic(), {one.name: [] for one in plant.stations})
        self._operator = self._hired()
        self._rollouts = self._scheduled(publish)

    def go(self, tell: Callable[[float], None]) -> Observed:
        """Run to the end. `tell` hears how many seconds have passed.

        Raises ProcessError where a process fails by itself, or the end does not come.
        """
        self._wait_until_watched()
        scenario, observed = self._plant.scenario, self._observed
        observed.started = self._clock.monotonic()
        for fault in scenario.faults:
            self._at(fault.at_s, lambda fault=fault: self._begin(fault))  # type: ignore[misc]
        self._at(0.0, self._look)
        if self._rollouts is not None:
            self._at(0.0, self._roll_out)
        give_up = scenario.duration_s + SETTLE_S
        while not self._plant.over and not self._stop.given:
            self._step()
            tell(min(self._now, scenario.duration_s))
            if self._now > give_up:
                raise ProcessError(
                    f"{scenario.name} did not end {SETTLE_S:.0f} s after its last part",
                    fix="look at the boxes' logs: --keep-in DIR keeps them",
                )
            self._stop.wait(STEP_S)
        self._gather()
        observed.ended_s = self._now
        if self._operator is not None:
            observed.reviewed = self._operator.reviewed
        return observed

    @property
    def _now(self) -> float:
        return self._clock.monotonic() - self._observed.started

    def _step(self) -> None:
        while self._due and self._due[0][0] <= self._now:
            heapq.heappop(self._due)[2]()
        self._plant.tend()

    def _at(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (seconds, next(self._order), action))

    def _begin(self, fault: Fault) -> None:
        target = (fault.acts_on, fault.aim)
        if target in self._at_fault:
            # A look that took long has let the one before begin late: it ends first.
            self._at(self._now + STEP_S, lambda: self._begin(fault))
            return
        undo = fault.begin(self._plant)
        self._note(fault, began=True)
        if fault.ends_s > fault.at_s:
            self._at_fault.add(target)
            lasts = fault.ends_s - fault.at_s
            self._at(self._now + lasts, lambda: self._end(fault, undo))

    def _end(self, fault: Fault, undo: Iterable[Undo]) -> None:
        for action in undo:
            action()
        self._at_fault.discard((fault.acts_on, fault.aim))
        self._note(fault, began=False)

    def _note(self, fault: Fault, *, began: bool) -> None:
        where = fault.process if fault.process != fault.kind else ""
        happened = Happened(self._now, fault.kind, fault.aim or where, began=began)
        self._observed.happened.append(happened)

    def _look(self) -> None:
        self._at(self._now + LOOK_S, self._look)
        self._gather()
        said = self._plant.cloud.ask("/api/v1/devices")
        known = {row["device"]: row for row in said} if isinstance(said, list) else {}
        # Behind its last part a box goes off by itself.
        if self._now <= self._plant.scenario.duration_s:
            for station in self._plant.stations:
                self._observed.looks.append(self._look_at(station, known.get(station.name)))
        if self._operator is not None and known:
            self._operator.step()

    def _roll_out(self) -> None:
        if self._rollouts is None or self._now > self._plant.scenario.duration_s:
            return
        self._at(self._now + AGAIN_S, self._roll_out)
        self._rollouts.step(self._now)
        self._observed.rollouts = self._rollouts.outcomes

    def _look_at(self, station: DeviceStation, said: dict[str, Any] | None) -> DeviceSnapshot:
        compute, counters = station.compute_state(), station.proxy.counters
        said = still_true(said, self._clock.utc(), self._stale_s(station))
        return DeviceSnapshot(
            at=self._now,
            device=station.name,
            online=said is not None and said["state"] == "online" and station.box.running,
            waiting=said["waiting"] if said is not None else None,
            problems=_problems(said) if said is not None else (),
            bytes_up=counters.up.bytes,
            bytes_down=counters.down.bytes,
            temperature_c=compute.temperature_c if compute else None,
            throttled=compute.throttled if compute else False,
            overrun_share=compute.overruns / compute.runs if compute and compute.runs else None,
        )

    def _stale_s(self, station: DeviceStation) -> float:
        """After so long without a word nobody knows how a device is."""
        line, timeline = station.settings.line.line, self._plant.scenario.timeline
        changes = [fault.speed for fault in timeline if isinstance(fault, SpeedFault)]
        return STALE_S + 2 * line.pitch / min([line.speed, *changes])

    def _gather(self) -> None:
        for station in self._plant.stations:
            self._observed.passed[station.name] += station.passed()
            late = station.late()
            if late is not None:
                self._observed.late[station.name] = late

    def _wait_until_watched(self) -> None:
        """Until a box watches each line: the belts start by themselves then."""
        until = self._clock.monotonic() + COME_UP_S
        for station in self._plant.stations:
            while not self._stop.given:
                if station.line_control.state().cameras:
                    break
                self._plant.tend()
                if self._clock.monotonic() > until:
                    raise ProcessError(
                        f"{station.name} did not watch its line within {COME_UP_S:.0f} s",
                        fix=f"its log is {station.box.log}",
                    )
                self._stop.wait(STEP_S)

    def _hired(self) -> SimulatedInspector | None:
        settings = self._plant.scenario.operator
        if settings is None:
            return None
        desk = HttpDesk(ServedCloud(self._plant.cloud.url))
        return SimulatedInspector(desk, self._truth, settings, self._clock)

    def _scheduled(self, publish: Callable[[], str] | None) -> ScheduledRollouts | None:
        settings = self._plant.scenario.rollouts
        if settings is None or publish is None:
            return None
        clouds = [ServedCloud(worker.url) for worker in self._plant.workers]
        return ScheduledRollouts(publish, settings, AnyWorker(clouds))

    def _truth(self, one: Doubtful) -> bool | None:
        for passed in reversed(self._observed.passed.get(one.device, [])):
            if passed.part == one.part:
                return passed.defect != "good"
        return None


def still_true(said: dict[str, Any] | None, now: float, stale_s: float) -> dict[str, Any] | None:
    """What the cloud knows of a device, or None where it has heard nothing for too long.

    Behind a half-open connection it goes on believing what it heard last.
    now   UTC seconds
    """
    return said if said is not None and now - said["seen_at"] <= stale_s else None


def _problems(said: dict[str, Any]) -> tuple[str, ...]:
    """What a device says is wrong with it; a camera that gives no pictures is wrong too."""
    camera = str(said["camera"])
    trouble = (f"camera: {camera}",) if camera.startswith(TROUBLED) else ()
    return (*said["problems"], *trouble)
