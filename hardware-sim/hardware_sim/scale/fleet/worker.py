"""A process that plays many devices: `python -m hardware_sim.scale.fleet.worker ORDERS`."""

from __future__ import annotations

import logging
import random
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec

from hardware_sim.scale.device import Floor, LightDevice
from hardware_sim.scale.fleet import orders
from hardware_sim.scale.fleet.orders import (
    GO,
    RECORDING,
    Go,
    Orders,
    Stage,
    WorkerOutcome,
    WorkerProgress,
)
from hardware_sim.scale.recording import RecordedFindings, Recording
from hardware_sim.scale.schedule import Action, Schedule
from hardware_sim.scale.sockets import SocketLoop
from hardware_sim.scale.stopwatch import EscalationTally
from shared import log
from shared.bundles.bundle import Bundle
from shared.clock import Clock, SystemClock
from shared.topics import Address
from shared.transport.mqtt import BrokerSettings, MqttTransport

SITE, LINE = "fleet", "light"
# Devices connect one after another, so that a broker's queue of connections holds them.
CONNECT_EVERY_S = 0.002
LOOK_EVERY_S = 0.1
REPORT_EVERY_S = 0.5
LONGEST_WAIT_S = 0.1
# Time for a batch whose receipt was lost to be sent again, and for a broker to come back.
DRAIN_S = 30.0
# The coordinator measures this process when the last part is due, so it must still be there.
LINGER_S = 1.0


def device_name(number: int) -> str:
    return f"light-{number:05d}"


class Worker:
    """Connects its devices, waits for the word, lets parts come by, and sees all of them off."""

    def __init__(self, wanted: Orders, folder: Path, clock: Clock) -> None:
        self._orders = wanted
        self._folder = folder
        self._clock = clock
        self._schedule = Schedule()
        self._loop = SocketLoop(clock, self._schedule)
        self._tally = EscalationTally()
        self._stage: Stage = "connecting"
        self._bytes = [0, 0]
        self._random = random.Random(f"{wanted.seed} {wanted.name}")  # noqa: S311 - phases of a load
        self._give_up = float("inf")
        self._ends_at = float("inf")
        floor = Floor(Bundle.open(Path(wanted.bundle)), clock, self._schedule, self._tally)
        recording = Recording.load(folder / RECORDING)
        self._devices = [self._device(n, recording, floor) for n in range(*wanted.devices)]

    def run(self) -> None:
        """Returns when every part is stored in the cloud, or DRAIN_S after the last."""
        now = self._clock.monotonic()
        for turn, device in enumerate(self._devices):
            self._schedule.at(now + turn * CONNECT_EVERY_S, _starting(device))
        self._schedule.at(now, self._look_around)
        self._schedule.at(now, self._report)
        while self._stage != "done":
            now = self._clock.monotonic()
            self._schedule.run_due(now)
            now = self._clock.monotonic()
            self._loop.step(self._schedule.next_in(now, LONGEST_WAIT_S))
        self._finish()

    def end(self) -> None:
        """Take no more parts. May be called from a signal handler."""
        self._ends_at = min(self._ends_at, self._clock.monotonic())

    def _device(self, number: int, recording: Recording, floor: Floor) -> LightDevice:
        name = device_name(number)
        broker = BrokerSettings.model_validate({"port": self._orders.broker_port})
        transport = MqttTransport(broker, f"{SITE}-{name}", self._loop)
        seed = f"{self._orders.seed} {name}"
        findings = RecordedFindings(recording, self._orders.escalated, seed)
        return LightDevice(Address(SITE, LINE, name), transport, findings, floor)

    def _look_around(self, _due: float) -> None:
        """Move on to the next stage where this one is over."""
        now = self._clock.monotonic()
        match self._stage:
            case "connecting" if all(device.connected for device in self._devices):
                self._enter("ready")
            case "connecting" | "ready" if self._ends_at <= now:
                self._enter("done")
            case "ready":
                go = orders.read(self._folder / GO, Go)
                if go is not None:
                    self._begin(go.at)
            case "inspecting" if self._ends_at <= now:
                self._give_up = now + DRAIN_S
                self._enter("draining")
            case "draining" if self._is_over(now):
                self._enter("done")
            case _:
                pass
        self._schedule.at(now + LOOK_EVERY_S, self._look_around)

    def _begin(self, at: float) -> None:
        wanted = self._orders
        self._ends_at = min(self._ends_at, at + wanted.seconds)
        self._tally.span = at + wanted.warm_up_s, at + wanted.seconds
        self._schedule.at(self._tally.span[0], lambda _: self._count_bytes(0))
        self._schedule.at(self._tally.span[1], lambda _: self._count_bytes(1))
        for device in self._devices:
            phase = self._random.random() * wanted.every_s
            self._schedule.at(at + phase, partial(self._part, device))
        self._enter("inspecting")

    def _part(self, device: LightDevice, due: float) -> None:
        if due >= self._ends_at:
            return
        device.inspect(due)
        self._schedule.at(due + self._orders.every_s, partial(self._part, device))

    def _is_over(self, now: float) -> bool:
        settled = now >= self._ends_at + LINGER_S and all(d.settled for d in self._devices)
        return settled or self._give_up <= now

    def _count_bytes(self, which: int) -> None:
        self._bytes[which] = self._loop.bytes

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self._tell()

    def _report(self, due: float) -> None:
        self._tell()
        self._schedule.at(due + REPORT_EVERY_S, self._report)

    def _tell(self) -> None:
        now = WorkerProgress(
            stage=self._stage,
            connected=sum(device.connected for device in self._devices),
            inspected=sum(device.agent.inspected for device in self._devices),
            waiting=sum(device.journal.waiting() for device in self._devices),
        )
        orders.write(orders.progress_of(self._folder, self._orders.name), now)

    def _finish(self) -> None:
        counts: Counter[str] = Counter()
        for device in self._devices:
            counts.update(device.health.counts)
        outcome = WorkerOutcome(
            inspected={d.address.device: d.agent.inspected for d in self._devices},
            actuated=sum(device.stopwatch.actuated for device in self._devices),
            measured=self._tally.parts,
            bytes=self._bytes[1] - self._bytes[0],
            round_trips_ms=self._tally.round_trips_ms,
            late_ms=self._tally.late_ms,
            reconnects=self._loop.reconnects,
            counts=dict(counts),
        )
        orders.write(orders.outcome_of(self._folder, self._orders.name), outcome)
        for device in self._devices:
            device.stop()
        self._loop.close()


def _starting(device: LightDevice) -> Action:
    return lambda _: device.start()


def main() -> None:
    """Do as the orders say. SIGTERM ends it as soon as what came by is stored."""
    # A thousand devices would say a thousand times that the broker is there.
    log.configure(level=logging.ERROR)
    path = Path(sys.argv[1])
    wanted = msgspec.json.decode(path.read_bytes(), type=Orders)
    worker = Worker(wanted, path.parent, SystemClock())

    def end(_number: int, _frame: FrameType | None) -> None:
        worker.end()

    signal.signal(signal.SIGTERM, end)
    worker.run()


if __name__ == "__main__":
    main()
