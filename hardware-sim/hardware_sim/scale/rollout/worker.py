"""A worker of `splitsight sim rollout`: boxes whose model is replaced."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from edge.updates.base import Label
from edge.updates.transfer.download import HttpSource
from edge.updates.transfer.fetch import Fetcher, GatewayEndpoint, open_pool
from edge.updates.trust.tuf_client import Trust
from hardware_sim.scale.device import CONNECT_EVERY_S, DeviceContext, device_address
from hardware_sim.scale.orders import RECORDING, TrialSignal, WorkerOrders, WorkerProgress
from hardware_sim.scale.recording import RecordedFindings, Recording
from hardware_sim.scale.rollout.behaviour import Behaviour
from hardware_sim.scale.rollout.box import BoxContext, SimulatedBox, install
from hardware_sim.scale.rollout.report import BoxStory
from hardware_sim.scale.schedule import Schedule
from hardware_sim.scale.sockets import SocketLoop
from hardware_sim.scale.stopwatch import EscalationTally
from hardware_sim.scale.worker import play
from shared.bundles.bundle import Bundle
from shared.clock import Clock
from shared.errors import ProcessError
from shared.transport.mqtt import BrokerSettings
from shared.worker import DeadWorkers, OnDeath, Worker

CARRY_EVERY_S = 0.25
STEP_EVERY_S = 0.05
# Boxes that share a thread for their updates; each has its own in a plant.
BOXES_A_THREAD = 25


class BoxOrders(WorkerOrders, frozen=True, kw_only=True):
    """What a worker is told of releases.

    gateway, ca, root   where they come from, whom to believe, and the root to begin with
    label      of the payload that every box starts with
    behaves    how bundles behave, by id; what is not named is good
    spared     boxes on which a bad release does well
    """

    gateway: str
    ca: str
    root: str
    label: Label
    behaves: dict[str, Behaviour]
    spared: list[str]


class BoxOutcome(msgspec.Struct, frozen=True):
    """What a worker's boxes came to."""

    stories: list[BoxStory]
    reconnects: int


class UpdateStepper:
    """A thread that takes the updates of several boxes on, as each box's own thread would."""

    def __init__(
        self, name: str, boxes: Sequence[SimulatedBox], clock: Clock, on_death: OnDeath
    ) -> None:
        self._boxes = boxes
        self._clock = clock
        self._worker = Worker(name, self._step, on_death=on_death)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        self._worker.stop()

    def _step(self) -> float:
        for box in self._boxes:
            if self._worker.stopping.is_set():
                break
            box.step(self._clock.monotonic())
        return STEP_EVERY_S


class UpdatedBoxes:
    """Parts come by until the trial has seen enough."""

    def __init__(
        self, wanted: BoxOrders, folder: Path, clock: Clock, schedule: Schedule, loop: SocketLoop
    ) -> None:
        self._orders = wanted
        self._folder = folder
        self._clock = clock
        self._schedule = schedule
        self._loop = loop
        self._ended = False
        factory = Path(wanted.bundle)
        self._context = BoxContext(
            DeviceContext(Bundle.open(factory), clock, schedule, EscalationTally()),
            loop,
            BrokerSettings.model_validate({"port": wanted.broker_port}),
            factory,
            self._behaves,
        )
        recording = Recording.load(folder / RECORDING)
        numbers = range(*wanted.devices)
        groups = [
            self._made(numbers[n : n + BOXES_A_THREAD], recording)
            for n in range(0, len(numbers), BOXES_A_THREAD)
        ]
        self._boxes = [box for group in groups for box in group]
        self._dead = DeadWorkers()
        self._steppers = [
            UpdateStepper(f"updates-{n}", group, clock, self._dead)
            for n, group in enumerate(groups)
        ]

    def start(self, now: float) -> None:
        phases = random.Random(self._orders.name)  # noqa: S311 - phases of a load
        for turn, box in enumerate(self._boxes):
            at = now + turn * CONNECT_EVERY_S
            self._schedule.at(at, box.boot)
            every_s = self._orders.every_s
            self._schedule.every(every_s, at + phases.random() * every_s, box.part)
        for stepper in self._steppers:
            stepper.start()
        self._schedule.every(CARRY_EVERY_S, now, self._carry)

    def end(self) -> None:
        self._ended = True

    def look(self, _now: float, signal: TrialSignal | None) -> bool:
        return not self._ended and signal is None and not self._dead.problems

    def progress(self) -> WorkerProgress:
        return WorkerProgress(
            "inspecting",
            connected=sum(box.settled for box in self._boxes),
            inspected=sum(box.story.parts for box in self._boxes),
        )

    def outcome(self) -> BoxOutcome:
        """Raises ProcessError where boxes' updates stood still: the trial shows nothing then."""
        if self._dead.problems:
            raise ProcessError(" ".join(self._dead.problems), fix="see its log, and try again")
        for stepper in self._steppers:
            stepper.stop()
        return BoxOutcome([box.story for box in self._boxes], self._loop.reconnects)

    def close(self) -> None:
        for box in self._boxes:
            box.stop()

    def _made(self, numbers: range, recording: Recording) -> list[SimulatedBox]:
        """Boxes that share one thread, and with it the connections to the gateway."""
        wanted = self._orders
        gateway, root = GatewayEndpoint(wanted.gateway, Path(wanted.ca)), Path(wanted.root)
        pool = open_pool(gateway)
        fetcher, source = Fetcher(pool), HttpSource(pool)
        boxes = []
        for number in numbers:
            address = device_address(number)
            disk = self._folder / "disks" / address.device
            install(disk, Path(wanted.bundle), wanted.label)
            trust = partial(Trust, disk / "trust", gateway, root.read_bytes(), self._clock, fetcher)
            findings = RecordedFindings(
                recording, wanted.escalated, f"{wanted.seed} {address.device}"
            )
            boxes.append(
                SimulatedBox(
                    address,
                    self._context,
                    folder=disk,
                    findings=findings,
                    trust=trust,
                    source=source,
                )
            )
        return boxes

    def _behaves(self, device: str, bundle: str) -> Behaviour:
        spared = device in self._orders.spared
        return "good" if spared else self._orders.behaves.get(bundle, "good")

    def _carry(self, _due: float) -> None:
        for box in self._boxes:
            box.carry()


if __name__ == "__main__":
    play(BoxOrders, UpdatedBoxes)
