"""A worker of `splitsight sim fleet`: devices that are measured."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from hardware_sim.scale.device import (
    CONNECT_EVERY_S,
    DeviceContext,
    LightDevice,
    device_address,
)
from hardware_sim.scale.orders import RECORDING, TrialSignal, WorkerOrders, WorkerProgress
from hardware_sim.scale.recording import RecordedFindings, Recording
from hardware_sim.scale.schedule import Schedule
from hardware_sim.scale.sockets import SocketLoop
from hardware_sim.scale.stopwatch import EscalationTally
from hardware_sim.scale.worker import play
from shared.bundles.bundle import Bundle
from shared.clock import Clock
from shared.transport.mqtt import BrokerSettings, MqttTransport

Stage = Literal["connecting", "ready", "inspecting", "draining"]
# Time for a batch whose receipt was lost to be sent again, and for a broker to come back.
DRAIN_S = 30.0
# The trial measures this process when the last part is due, so it must still be there.
LINGER_S = 1.0


class FleetOrders(WorkerOrders, frozen=True, kw_only=True):
    """seconds: how long parts come by, of which the first `warm_up_s` are not measured"""

    seconds: float
    warm_up_s: float


class FleetOutcome(msgspec.Struct, frozen=True):
    """What a worker's devices came to.

    inspected          parts by device
    actuated           verdicts that were carried out
    measured           parts that were due in the measured span, which took `bytes` on the wire
    round_trips_ms     of the escalations among them
    late_ms            what their turn was late by
    counts             the agents' own, by reason
    """

    inspected: dict[str, int]
    actuated: int
    measured: int
    bytes: int
    round_trips_ms: list[float]
    late_ms: list[float]
    reconnects: int
    counts: dict[str, int]


class MeasuredDevices:
    """They connect, wait for the signal, let parts come by, and see all of them stored."""

    def __init__(
        self, wanted: FleetOrders, folder: Path, clock: Clock, schedule: Schedule, loop: SocketLoop
    ) -> None:
        self._orders = wanted
        self._clock = clock
        self._schedule = schedule
        self._loop = loop
        self._tally = EscalationTally()
        self._stage: Stage = "connecting"
        self._bytes = [0, 0]
        self._give_up = self._ends_at = float("inf")
        context = DeviceContext(Bundle.open(Path(wanted.bundle)), clock, schedule, self._tally)
        recording = Recording.load(folder / RECORDING)
        self._devices = [self._device(n, recording, context) for n in range(*wanted.devices)]

    def start(self, now: float) -> None:
        for turn, device in enumerate(self._devices):
            self._schedule.at(now + turn * CONNECT_EVERY_S, device.start)

    def end(self) -> None:
        self._ends_at = min(self._ends_at, self._clock.monotonic())

    def look(self, now: float, signal: TrialSignal | None) -> bool:
        """Until every part is stored in the cloud, or DRAIN_S after the last."""
        match self._stage:
            case "connecting" if all(device.connected for device in self._devices):
                self._stage = "ready"
            case "connecting" | "ready" if self._ends_at <= now:
                return False
            case "ready" if signal is not None:
                self._begin(signal.at)
            case "inspecting" if self._ends_at <= now:
                self._give_up = now + DRAIN_S
                self._stage = "draining"
            case "draining":
                settled = all(device.settled for device in self._devices)
                is_over = settled and now >= self._ends_at + LINGER_S
                return not is_over and now < self._give_up
            case _:
                pass
        return True

    def progress(self) -> WorkerProgress:
        return WorkerProgress(
            self._stage,
            connected=sum(device.connected for device in self._devices),
            inspected=sum(device.agent.inspected for device in self._devices),
        )

    def outcome(self) -> FleetOutcome:
        counts: Counter[str] = Counter()
        for device in self._devices:
            counts.update(device.health.counts)
        return FleetOutcome(
            inspected={d.address.device: d.agent.inspected for d in self._devices},
            actuated=sum(device.stopwatch.actuated for device in self._devices),
            measured=self._tally.parts,
            bytes=self._bytes[1] - self._bytes[0],
            round_trips_ms=self._tally.round_trips_ms,
            late_ms=self._tally.late_ms,
            reconnects=self._loop.reconnects,
            counts=dict(counts),
        )

    def close(self) -> None:
        for device in self._devices:
            device.stop()

    def _device(self, number: int, recording: Recording, context: DeviceContext) -> LightDevice:
        address = device_address(number)
        broker = BrokerSettings.model_validate({"port": self._orders.broker_port})
        transport = MqttTransport(broker, f"{address.site}-{address.device}", self._loop)
        seed = f"{self._orders.seed} {address.device}"
        findings = RecordedFindings(recording, self._orders.escalated, seed)
        return LightDevice(address, transport, findings, context)

    def _begin(self, at: float) -> None:
        wanted = self._orders
        self._ends_at = min(self._ends_at, at + wanted.seconds)
        self._tally.span = at + wanted.warm_up_s, at + wanted.seconds
        for which, when in enumerate(self._tally.span):
            self._schedule.at(when, partial(self._count_bytes, which))
        phases = random.Random(f"{wanted.seed} {wanted.name}")  # noqa: S311 - phases of a load
        for device in self._devices:
            first = at + phases.random() * wanted.every_s
            self._schedule.every(
                wanted.every_s, first, device.inspect, goes_on=lambda due: due < self._ends_at
            )
        self._stage = "inspecting"

    def _count_bytes(self, which: int, _due: float) -> None:
        self._bytes[which] = self._loop.bytes


if __name__ == "__main__":
    play(FleetOrders, MeasuredDevices)
