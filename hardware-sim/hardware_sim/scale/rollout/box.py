"""A light device that can be updated: the product's state machine, trust, download, slots and
model host around heads that only behave; its process can die and is started again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho

from edge.inspection.model import LiveModel
from edge.updates.base import Label, PayloadSource
from edge.updates.disk import RealDisk
from edge.updates.drift import DriftLimits
from edge.updates.hosts.models import ModelHost, start_model
from edge.updates.hosts.remote_settings import WantedSettings
from edge.updates.observation import ModelWatch
from edge.updates.progress import Memo
from edge.updates.service.updater import DesiredMemory, Updater
from edge.updates.slots import FolderSlots
from edge.updates.state_machine import UpdateMachine
from edge.updates.trust.offers import TrustedOffers
from edge.updates.trust.releases import Trusts
from hardware_sim.scale.device import DEADLINE_S, DeviceContext, LightDevice
from hardware_sim.scale.recording import RecordedFindings
from hardware_sim.scale.rollout.behaviour import (
    CRASHES_AFTER,
    BehavingHead,
    Behaviour,
    ProcessDied,
)
from hardware_sim.scale.rollout.report import BoxStory
from hardware_sim.scale.sockets import SocketLoop
from shared.bundles.bundle import Bundle
from shared.errors import TransportError
from shared.releases import hardware_here
from shared.storage.slots import SlotRecord
from shared.topics import Address
from shared.transport.base import Transport, TransportView, Will
from shared.transport.mqtt import BrokerSettings, MqttTransport

# systemd waits a second before it starts a service again, and a box's agent takes about two.
RESTART_S = 3.0
REPORT_EVERY_S = 10.0
LONGEST_STEP_S = 0.25
RESERVE = 1 << 20


class OneClient:
    """A `ClientLoop` for one device, whose connection can be cut as a kill would."""

    def __init__(self, loop: SocketLoop) -> None:
        self._loop = loop
        self._client: paho.Client | None = None

    def start(self, client: paho.Client) -> None:
        self._client = client
        self._loop.start(client)

    def stop(self, client: paho.Client) -> None:
        self._loop.stop(client)

    def cut(self) -> None:
        if self._client is not None:
            self._loop.cut(self._client)


class UpdateMessages(TransportView[Transport]):
    """A `Transport` for a thread that the connection does not belong to: what it says is carried
    later.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._waiting: deque[tuple[str, bytes, bool]] = deque()

    def start(self, will: Will | None = None) -> None:
        """The device has started it."""

    def stop(self, goodbye: Will | None = None) -> None:
        """The device stops it."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_s: float | None = None,  # noqa: ARG002 - what waits here waits a moment
        properties: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> None:
        self._waiting.append((topic, payload, retain))

    def carry(self) -> None:
        """On the thread of the connection. What can't be sent now stays."""
        while self._waiting and self._transport.connected:
            topic, payload, retain = self._waiting[0]
            try:
                self._transport.publish(topic, payload, retain=retain)
            except TransportError:
                return
            self._waiting.popleft()


@dataclass(frozen=True, slots=True)
class BoxContext:
    """What the boxes of one worker share.

    behaves   how the release with a bundle id behaves on a device
    """

    devices: DeviceContext
    loop: SocketLoop
    broker: BrokerSettings
    factory: Path
    behaves: Callable[[str, str], Behaviour]


class SimulatedBox:
    """One device with its disk. `step` is called by one thread, all else by the schedule's."""

    def __init__(
        self,
        address: Address,
        context: BoxContext,
        *,
        folder: Path,
        findings: RecordedFindings,
        trust: Callable[[], Trusts],
        source: PayloadSource,
    ) -> None:
        """folder: its data disk; trust: opens its metadata, once a process"""
        self.address = address
        self.story = BoxStory(address.device)
        self._context = context
        self._findings = findings
        self._trust = trust
        self._source = source
        self._folder = folder
        self._stepping = threading.Lock()
        self._process: BoxProcess | None = None

    @property
    def settled(self) -> bool:
        """Whether its process runs, and its connection."""
        return self._process is not None and self._process.device.connected

    def boot(self, _due: float = 0.0) -> None:
        """The process starts."""
        with self._stepping:
            self._process = BoxProcess(
                self.address,
                self._context,
                folder=self._folder,
                findings=self._findings,
                trust=self._trust,
                source=self._source,
                # The worst that a model can do: at first it takes a while, then it dies at once.
                lives=0 if self.story.crashes else CRASHES_AFTER,
            )
        self._process.device.start()
        self._note_model()

    def part(self, due: float) -> None:
        """A part comes by; nobody looks at it while there is no process."""
        process = self._process
        if process is None:
            return
        try:
            process.device.inspect(due)
        except ProcessDied:
            self.story.crashes += 1
            self._process = None
            process.die()
            now = self._context.devices.clock.monotonic()
            self._context.devices.schedule.at(now + RESTART_S, self.boot)
            return
        story, now = self.story, self._context.devices.clock.monotonic()
        story.parts += 1
        if story.last_at is not None and now - story.last_at > story.gap_s:
            story.gap_s, story.gap_at = now - story.last_at, now
        story.last_at = now
        self._note_model()

    def step(self, now: float) -> None:
        """The update goes on a little, where something may have changed."""
        with self._stepping:
            process = self._process
            if process is not None and now >= process.due:
                process.due = now + min(process.updater.tick(), LONGEST_STEP_S)

    def carry(self) -> None:
        """Publish what the updates had to say."""
        if self._process is not None:
            self._process.messages.carry()

    def stop(self) -> None:
        if self._process is not None:
            self._process.device.stop()

    def _note_model(self) -> None:
        if self._process is None:
            return
        path = self._process.live
        if not self.story.ran or self.story.ran[-1][0] != path:
            self.story.ran.append((path, self._context.devices.clock.monotonic()))


class BoxProcess:
    """What a device has only while its process lives."""

    def __init__(
        self,
        address: Address,
        context: BoxContext,
        *,
        folder: Path,
        findings: RecordedFindings,
        trust: Callable[[], Trusts],
        source: PayloadSource,
        lives: int,
    ) -> None:
        """lives: parts that a crashing model survives as the live one"""
        clock, disk = context.devices.clock, RealDisk()
        self._address = address
        self._clock = clock
        self._behaves = context.behaves
        self._findings = findings
        self._slots = FolderSlots(disk, folder, ".zip")
        self._loop = OneClient(context.loop)
        client_id = f"{address.site}-{address.device}"
        self._transport = MqttTransport(context.broker, client_id, self._loop)
        self._lives = lives
        slot, model = start_model(self._slots, context.factory, self._opened)
        watch = ModelWatch()
        self.device = LightDevice(address, self._transport, model.inspector, context.devices, watch)
        self._host = ModelHost(
            slots=self._slots,
            factory=context.factory,
            opens=self._opened,
            watch=watch,
            limits=DriftLimits(budget_s=DEADLINE_S),
            clock=clock,
            started=slot,
        )
        self._host.attach(self, model)
        self._heads: dict[str, BehavingHead] = {}
        self.swap(model)
        machine = UpdateMachine(
            "model",
            slots=self._slots,
            host=self._host,
            offers=TrustedOffers(trust(), "model", hardware_here()),
            source=source,
            memo=Memo(disk, folder / "memo.json"),
            clock=clock,
            reserve=RESERVE,
        )
        self.due = 0.0
        self.messages = UpdateMessages(self._transport)
        self._began = clock.monotonic()
        self.updater = Updater(
            self.messages,
            address,
            boot=self.device.journal.boot,
            machines={"model": machine},
            settings=WantedSettings(),
            memory=DesiredMemory(disk, folder / "desired"),
            facts=self._facts,
            versions={"hardware": hardware_here()},
            hold=lambda _why: None,
            clock=clock,
            report_s=REPORT_EVERY_S,
            on_death=self.device.health.worker_died,
        )
        self.updater.listen()

    @property
    def live(self) -> str:
        """The release that judges parts now."""
        held = self._slots.held(self._host.running())
        return held.path if held else ""

    def swap(self, model: LiveModel) -> float:
        """As the agent's, and the heads know which of them is live."""
        before = self.device.agent.model.inspector
        for head in (before, model.inspector):
            if isinstance(head, BehavingHead):
                head.live = head is model.inspector
        return self.device.agent.swap(model)

    def die(self) -> None:
        self.device.end()
        self._loop.cut()

    def _facts(self) -> dict[str, float]:
        return {
            "uptime_s": self._clock.monotonic() - self._began,
            "queue": float(self.device.journal.waiting()),
            "inspected": float(self.device.agent.inspected),
        }

    def _opened(self, bundle: Bundle) -> LiveModel:
        behaviour = self._behaves(self._address.device, bundle.id)
        head = BehavingHead(self._findings, behaviour, self._lives)
        return LiveModel.of(bundle, head, "recorded findings")


def install(folder: Path, payload: Path, label: Label) -> None:
    """A device's disk as it left the workshop: one release, live, and nothing else."""
    slots: Any = FolderSlots(RealDisk(), folder, ".zip")
    slots.mark(SlotRecord("b"))
    place = slots.payload("a")
    place.parent.mkdir(parents=True, exist_ok=True)
    # One file for all: a slot's payload is replaced, never written into.
    place.hardlink_to(payload)
    slots.name("a", label)
    slots.mark(SlotRecord("a"))
