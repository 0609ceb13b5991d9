"""A process that plays boxes with updates: `python -m hardware_sim.scale.rollout.worker ORDERS`."""

from __future__ import annotations

import logging
import random
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec

from edge.updates.base import Label
from edge.updates.transfer.download import HttpSource
from edge.updates.transfer.fetch import Fetcher, GatewayEndpoint, open_pool
from edge.updates.trust.tuf_client import Trust
from hardware_sim.scale.device import Floor
from hardware_sim.scale.fleet import orders as files
from hardware_sim.scale.fleet.worker import CONNECT_EVERY_S, LINE, LONGEST_WAIT_S, SITE, device_name
from hardware_sim.scale.recording import Recording
from hardware_sim.scale.rollout.behaviour import Behaviour, SimulatedFindings
from hardware_sim.scale.rollout.box import BoxParts, SimulatedBox, install
from hardware_sim.scale.rollout.orders import (
    STOP,
    BoxOrders,
    BoxOutcome,
    BoxProgress,
    BoxStory,
    Stop,
)
from hardware_sim.scale.rollout.stepper import Stepper
from hardware_sim.scale.schedule import Schedule
from hardware_sim.scale.sockets import SocketLoop
from hardware_sim.scale.stopwatch import EscalationTally
from shared import log
from shared.bundles.bundle import Bundle
from shared.clock import Clock, SystemClock
from shared.topics import Address
from shared.transport.mqtt import BrokerSettings

LOOK_EVERY_S = 0.25
# Boxes that share a thread for their updates; each has its own in a plant.
BOXES_A_THREAD = 25


class BoxWorker:
    """Starts its boxes, lets parts come by, and writes down what became of each."""

    def __init__(self, wanted: BoxOrders, folder: Path, clock: Clock) -> None:
        self._orders = wanted
        self._folder = folder
        self._clock = clock
        self._schedule = Schedule()
        self._loop = SocketLoop(clock, self._schedule)
        self._stopped = False
        base = Path(wanted.base)
        self._kit = BoxParts(
            Floor(Bundle.open(base), clock, self._schedule, EscalationTally()),
            self._loop,
            BrokerSettings.model_validate({"port": wanted.broker_port}),
            base,
            self._behaves,
        )
        recording = Recording.load(Path(wanted.recording))
        numbers = range(*wanted.devices)
        groups = [numbers[n : n + BOXES_A_THREAD] for n in range(0, len(numbers), BOXES_A_THREAD)]
        self._boxes: list[SimulatedBox] = []
        self._steppers: list[tuple[Stepper, list[SimulatedBox]]] = []
        for group in groups:
            boxes = self._make(group, recording)
            self._boxes += boxes
            self._steppers.append((Stepper(f"updates-{group[0]}", clock), boxes))

    def run(self) -> None:
        """Returns when the trial says so."""
        now, dice = self._clock.monotonic(), random.Random(self._orders.name)  # noqa: S311
        for turn, box in enumerate(self._boxes):
            at = now + turn * CONNECT_EVERY_S
            self._schedule.at(at, box.boot)
            phase = dice.random() * self._orders.every_s
            self._schedule.at(at + phase, partial(self._part, box))
        for stepper, boxes in self._steppers:
            stepper.start(boxes)
        self._schedule.at(now, self._look_around)
        while not self._stopped:
            self._schedule.run_due(self._clock.monotonic())
            self._loop.step(self._schedule.next_in(self._clock.monotonic(), LONGEST_WAIT_S))
        self._finish()

    def end(self) -> None:
        """May be called from a signal handler."""
        self._stopped = True

    def _make(self, numbers: range, recording: Recording) -> list[SimulatedBox]:
        """Boxes that share one thread, and with it the connections to the gateway."""
        wanted = self._orders
        gateway = GatewayEndpoint(wanted.gateway, Path(wanted.ca))
        pool = open_pool(gateway)
        fetcher, source = Fetcher(pool), HttpSource(pool)
        label = msgspec.convert(wanted.label, Label)
        boxes = []
        for number in numbers:
            name = device_name(number)
            disk = self._folder / "disks" / name
            install(disk, Path(wanted.base), label)
            trust = partial(
                Trust, disk / "trust", gateway, Path(wanted.root).read_bytes(), self._clock, fetcher
            )
            findings = SimulatedFindings(recording, wanted.escalated, wanted.seed + number)
            address = Address(SITE, LINE, name)
            boxes.append(
                SimulatedBox(
                    address, self._kit, folder=disk, findings=findings, trust=trust, source=source
                )
            )
        return boxes

    def _behaves(self, device: str, bundle: str) -> Behaviour:
        spared = device in self._orders.spared
        return "good" if spared else self._orders.behaves.get(bundle, "good")

    def _part(self, box: SimulatedBox, due: float) -> None:
        box.part(due)
        self._schedule.at(due + self._orders.every_s, partial(self._part, box))

    def _look_around(self, _due: float) -> None:
        for box in self._boxes:
            box.carry()
        self._stopped = self._stopped or files.read(self._folder / STOP, Stop) is not None
        now = BoxProgress(
            connected=sum(box.settled for box in self._boxes),
            parts=sum(box.story.parts for box in self._boxes),
            crashes=sum(box.story.crashes for box in self._boxes),
        )
        files.write(files.progress_of(self._folder, self._orders.name), now)
        self._schedule.at(self._clock.monotonic() + LOOK_EVERY_S, self._look_around)

    def _finish(self) -> None:
        for stepper, _ in self._steppers:
            stepper.stop()
        stories = [
            BoxStory(
                box.address.device,
                box.story.ran,
                box.story.parts,
                box.story.crashes,
                box.story.gap_s,
                box.story.gap_at,
            )
            for box in self._boxes
        ]
        outcome = BoxOutcome(stories, self._loop.reconnects)
        files.write(files.outcome_of(self._folder, self._orders.name), outcome)
        for box in self._boxes:
            box.stop()
        self._loop.close()


def main() -> None:
    """Do as the orders say. SIGTERM ends it."""
    log.configure(level=logging.ERROR)
    path = Path(sys.argv[1])
    wanted = msgspec.json.decode(path.read_bytes(), type=BoxOrders)
    worker = BoxWorker(wanted, path.parent, SystemClock())

    def end(_number: int, _frame: FrameType | None) -> None:
        worker.end()

    signal.signal(signal.SIGTERM, end)
    worker.run()


if __name__ == "__main__":
    main()
