"""A light device: the product's own agent, uplink, outbox and presence; no camera, disk or CNN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.actuator.calls import DirectActuations
from edge.camera.scripted import ScriptedCamera
from edge.inspection.inspector import Looks
from edge.inspection.model import LiveModel, Observes
from edge.journal.picture_ring import RingPolicy
from edge.link.outbox import BATCH_S
from edge.link.presence import EVERY_S, Snapshot
from edge.monitoring.health import BoxHealth
from edge.wiring import Around, wire
from hardware_sim.scale.journal import MemoryJournal
from hardware_sim.scale.schedule import Schedule
from hardware_sim.scale.stopwatch import EscalationTally, Stopwatch
from shared.bundles.bundle import Bundle
from shared.clock import Clock
from shared.contracts import Frame
from shared.topics import Address
from shared.transport.base import Transport

# What the agent's own settings have where a user says nothing.
DEADLINE_S = 0.5
# After that long without an event a device's publisher would find nothing to send.
AWAKE_S = EVERY_S + 2 * BATCH_S
SITE, LINE = "fleet", "light"
# Devices connect one after another, so that a broker's queue of connections holds them.
CONNECT_EVERY_S = 0.002
_NO_PIXELS = np.zeros((1, 1), np.uint8)


@dataclass(frozen=True, slots=True)
class DeviceContext:
    """What the devices of one process share."""

    bundle: Bundle
    clock: Clock
    schedule: Schedule
    tally: EscalationTally


def device_address(number: int) -> Address:
    return Address(SITE, LINE, f"light-{number:05d}")


class LightDevice:
    """One device that is moved by a schedule instead of its own threads."""

    def __init__(
        self,
        address: Address,
        transport: Transport,
        findings: Looks,
        context: DeviceContext,
        observer: Observes | None = None,
    ) -> None:
        """observer: of what its model does, where the model may be replaced"""
        bundle, clock = context.bundle, context.clock
        self.address = address
        self.health = BoxHealth()
        self.journal = MemoryJournal()
        self.stopwatch = Stopwatch(findings, clock, context.tally)
        self._transport = transport
        self._clock = clock
        self._schedule = context.schedule
        self._tally = context.tally
        self._awake_until = float("-inf")
        self._ticking = False
        self._ended = False
        wired = wire(
            Around(
                address=address,
                model=LiveModel.of(bundle, self.stopwatch, "recorded findings"),
                transport=transport,
                camera=ScriptedCamera([]),
                journal=self.journal,
                actuations=DirectActuations(self.stopwatch, clock, self.health),
                ring=RingPolicy("none"),
                clock=clock,
                health=self.health,
                deadline_s=DEADLINE_S,
                look=self._look,
                observer=observer,
            )
        )
        self.agent, self.outbox, self.presence = wired.agent, wired.outbox, wired.presence
        self._publisher = wired.publisher

    @property
    def settled(self) -> bool:
        """Whether every part has its verdict and the cloud has said that it stored it."""
        return self.outbox.is_empty and not len(self.agent.deadlines)

    @property
    def connected(self) -> bool:
        return self._transport.connected

    def start(self, _due: float = 0.0) -> None:
        """Connect, and stay so."""
        self._transport.on_connection(lambda _: self._wake())
        self._transport.start(self.presence.will)

    def stop(self) -> None:
        """Disconnect without a word: the broker is told that this is meant."""
        self._ended = True
        self._transport.stop()

    def end(self) -> None:
        """Do nothing more, without a word to anybody: the process is gone."""
        self._ended = True

    def inspect(self, due: float) -> None:
        """The part that was due at this second of the monotonic clock comes by."""
        if self._tally.covers(due):
            self._tally.parts += 1
            self._tally.late_ms.append((self._clock.monotonic() - due) * 1000)
        part = self.agent.inspected + 1
        self.agent.inspect(Frame(_NO_PIXELS, part, due, due + DEADLINE_S, "recorded"))
        if len(self.agent.deadlines):
            self._schedule.at(due + DEADLINE_S, self._expire)
        self._wake()

    def _expire(self, _due: float) -> None:
        if not self._ended:
            self.agent.deadlines.expire(self._clock.monotonic())

    def _wake(self) -> None:
        self._awake_until = self._clock.monotonic() + AWAKE_S
        if not self._ticking:
            self._ticking = True
            self._schedule.at(self._clock.monotonic() + BATCH_S, self._tick)

    def _tick(self, _due: float) -> None:
        """As the publisher's thread does in a box, as long as something may have changed."""
        if self._ended:
            return
        self._publisher.tick()
        now = self._clock.monotonic()
        if not self.outbox.is_empty:
            self._awake_until = now + AWAKE_S
        self._ticking = now < self._awake_until
        if self._ticking:
            self._schedule.at(now + BATCH_S, self._tick)

    def _look(self) -> Snapshot:
        return Snapshot(
            camera="live",
            inspected=self.agent.inspected,
            waiting=self.journal.waiting(),
            problems=self.health.problems,
        )
