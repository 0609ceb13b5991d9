"""An agent on a bench: every clock, thread and neighbour is the test's to move."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from edge.actuator.base import Actuator, RecordingActuator
from edge.actuator.calls import DirectActuations
from edge.agent import MAX_OPEN, Agent
from edge.camera.base import CameraEvent
from edge.camera.scripted import ScriptedCamera
from edge.inspection.control import ControlSample
from edge.inspection.fields import FieldSources
from edge.inspection.inspector import Inspector, Looks
from edge.inspection.model import LiveModel
from edge.journal.journal import Journal
from edge.journal.picture_ring import Keep, RingPolicy
from edge.journal.quota import FreeSpace, free_space
from edge.link.outbox import Outbox
from edge.link.throttle import BatchThrottle
from edge.link.uplink import Uplink
from edge.monitoring.health import BoxHealth
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.clock import Clock, ManualClock
from shared.contracts import Decision, Finding, Frame, PlainVerdict, Verdict
from shared.runtime.base import open_runtime
from shared.topics import Address
from shared.transport.memory import MemoryBroker, MemoryTransport
from shared.wire import CloudVerdict, Escalation, Message, decode, encode
from tests.bundles import picture

ADDRESS = Address("plant", "line", "box")
DEADLINE_S = 0.5


def open_journal(
    folder: Path,
    *,
    max_bytes: int = 1 << 24,
    ring_bytes: int = 1 << 20,
    label_bytes: int = 0,
    health: BoxHealth | None = None,
    free: FreeSpace = free_space,
    max_age_s: float = math.inf,
    clock: Clock | None = None,
) -> Journal:
    return Journal.open(
        folder / "journal.db",
        max_bytes=max_bytes,
        ring_bytes=ring_bytes,
        label_bytes=label_bytes,
        health=health or BoxHealth(),
        free=free,
        max_age_s=max_age_s,
        clock=clock,
    )


def commit(journal: Journal) -> None:
    """Let the journal's thread, which does not run here, do all its work."""
    while not journal.commits.is_idle:
        assert journal.commits.step()


def rows_in(folder: Path, table: str = "inspections") -> list[dict[str, object]]:
    """The rows of a journal, oldest first."""
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        connection.row_factory = sqlite3.Row
        query = f"SELECT * FROM {table} ORDER BY id"  # noqa: S608
        return [dict(row) for row in connection.execute(query)]


def real_inspector(bundle: Bundle) -> Inspector:
    manifest = bundle.manifest
    runtime = open_runtime("onnx", bundle.read(HEAD))
    return Inspector(
        runtime,
        bundle.codec,
        manifest.gate.gate,
        manifest.input.shape,
        bundle.novelty,
        pixels=manifest.input.pixels,
    )


class ScriptedInspector:
    """Decides as the next entry of a list says."""

    def __init__(self, bundle: Bundle, decisions: Iterator[Decision]) -> None:
        self._shape = bundle.codec.shape
        self._decisions = decisions

    def look(self, frame: Frame) -> Finding:
        symbols = np.zeros(self._shape, np.int8)
        height, width = frame.pixels.shape[0] // 8, frame.pixels.shape[1] // 8
        defect_map = np.zeros((height, width), np.float32)
        return Finding(next(self._decisions), 0.5, symbols, defect_map)


class Rig:
    """An agent with its neighbours; nothing moves unless the test moves it."""

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        *,
        inspector: Looks | None = None,
        actuator: Actuator | None = None,
        keep: Keep = "uncertain",
        fields: FieldSources | None = None,
        health: BoxHealth | None = None,
        control: ControlSample | None = None,
        broker: MemoryBroker | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.folder = folder
        self.clock = clock or ManualClock()
        self.health = health or BoxHealth(self.clock)
        self.broker = broker or MemoryBroker()
        self.transport: MemoryTransport = self.broker.transport()
        self.recorded = RecordingActuator()
        self.journal = open_journal(folder, health=self.health)
        self.journal.skip(MAX_OPEN + 1 if self.journal.unclean else 0)
        self.uplink = Uplink(
            self.transport,
            ADDRESS,
            boot=self.journal.boot,
            clock=self.clock,
            health=self.health,
        )
        self.agent = Agent(
            camera=ScriptedCamera([]),
            model=LiveModel.of(bundle, inspector or real_inspector(bundle), "onnx CPU"),
            journal=self.journal,
            uplink=self.uplink,
            actuations=DirectActuations(actuator or self.recorded, self.clock, self.health),
            ring=RingPolicy(keep),
            clock=self.clock,
            health=self.health,
            deadline_s=DEADLINE_S,
            fields=fields,
            control=control,
        )
        self.outbox = Outbox(
            self.journal,
            self.transport,
            ADDRESS,
            clock=self.clock,
            health=self.health,
            throttle=BatchThrottle(self.clock, random.Random(1)),  # noqa: S311
        )
        self.uplink.listen(self.agent.answer)
        self.outbox.listen()
        self.transport.start()
        self.cloud = self.broker.transport()
        self.cloud.start()
        self._parts = 0

    def frame(self, brightness: int, *, encoded: bytes | None = b"picture") -> Frame:
        self._parts += 1
        now = self.clock.monotonic()
        return Frame(
            picture(brightness), self._parts, now, now + DEADLINE_S, f"{self._parts}.png", encoded
        )

    def show(self, brightness: int) -> None:
        """A part comes by."""
        self.inspect(self.frame(brightness))

    def inspect(self, event: CameraEvent) -> None:
        self.agent.inspect(event)

    def commit(self) -> None:
        commit(self.journal)

    def pass_deadline(self) -> None:
        self.clock.advance(DEADLINE_S + 0.001)
        self.expire()

    def expire(self) -> None:
        self.agent.deadlines.expire(self.clock.monotonic())

    def answer(
        self, sequence: int, verdict: Verdict, *, boot: str | None = None, score: float = 0.5
    ) -> None:
        """The cloud answers an escalation."""
        boot = self.journal.boot if boot is None else boot
        plain: PlainVerdict = "pass" if verdict == "pass" else "reject"
        review = verdict == "review"
        answer = CloudVerdict(boot, sequence, sequence, plain, score, review=review)
        self.say("verdict", answer)

    def say(self, channel: str, message: Message) -> None:
        topic = ADDRESS.topic(channel)  # type: ignore[arg-type]
        self.cloud.publish(topic, encode(message))  # type: ignore[arg-type]

    @property
    def rows(self) -> list[dict[str, object]]:
        return rows_in(self.folder)

    @property
    def escalations(self) -> list[Escalation]:
        topic = ADDRESS.topic("escalation")
        sent = [d for d in self.broker.published if d.topic == topic]
        return [decode(delivery.payload, Escalation)[0] for delivery in sent]

    def close(self) -> None:
        self.journal.close()
