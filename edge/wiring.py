"""Puts the agent's parts together: in a box around real hardware, in a simulator around less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.actuator.calls import Actuates
from edge.agent import Agent
from edge.camera.base import Camera
from edge.inspection.control import ControlSample
from edge.inspection.fields import FieldSources
from edge.inspection.model import AllWatch, LiveModel, NobodyWatches, Observes
from edge.journal.journal import Journals
from edge.journal.picture_ring import RingPolicy
from edge.link.outbox import Outbox, UnsentInspections
from edge.link.presence import Presence, Snapshot
from edge.link.publisher import LinkPublisher
from edge.link.sketch_outbox import SketchOutbox
from edge.link.uplink import Uplink
from edge.monitoring.health import BoxHealth
from edge.monitoring.sketch_recording import SketchBook
from shared.clock import Clock
from shared.topics import Address
from shared.transport.base import Transport


class Keeps(Journals, UnsentInspections, Protocol):
    """A journal that the agent writes and the outbox reads."""


@dataclass(frozen=True, slots=True)
class Around:
    """What an agent works with.

    deadline_s   from trigger to verdict
    look         how it is now, for its state at the broker
    observer     of what the model does, where it may be replaced
    fields       of inspections, that the head does not make
    control      draws parts that a person looks at, whatever is made of them
    sketched     parts that a sketch is of, and the seconds between two at least
    recipe       of parts of which the camera says nothing else
    """

    address: Address
    model: LiveModel
    transport: Transport
    camera: Camera
    journal: Keeps
    actuations: Actuates
    ring: RingPolicy
    clock: Clock
    health: BoxHealth
    deadline_s: float
    look: Callable[[], Snapshot]
    observer: Observes | None = None
    fields: FieldSources | None = None
    control: ControlSample | None = None
    sketched: tuple[int, float] = (10, 2.0)
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class Wired:
    """The agent, and what carries its words to the broker. Nothing has been started."""

    agent: Agent
    uplink: Uplink
    outbox: Outbox
    presence: Presence
    publisher: LinkPublisher


def wire(around: Around) -> Wired:
    """Subscribe what listens, and connect each part to the next."""
    transport, address, journal = around.transport, around.address, around.journal
    clock, health = around.clock, around.health
    model = around.model
    sketches = _book(around)
    uplink = Uplink(transport, address, boot=journal.boot, clock=clock, health=health)
    agent = Agent(
        camera=around.camera,
        model=model,
        journal=journal,
        uplink=uplink,
        actuations=around.actuations,
        ring=around.ring,
        clock=clock,
        health=health,
        deadline_s=around.deadline_s,
        observer=AllWatch(around.observer or NobodyWatches(), sketches),
        fields=around.fields,
        control=around.control,
    )
    uplink.listen(agent.answer)
    outbox = Outbox(journal, transport, address, clock=clock, health=health)
    outbox.listen()
    presence = Presence(
        transport,
        address,
        boot=journal.boot,
        bundle=model.bundle,
        runtime=model.runtime,
        clock=clock,
        look=around.look,
    )
    presence.listen()

    def swapped(live: LiveModel) -> None:
        presence.changed(live.bundle, live.runtime)
        sketches.changed(live.bundle)

    agent.on_swap(swapped)
    sent = SketchOutbox(sketches, transport, address)
    publisher = LinkPublisher(outbox, sent, presence, health.worker_died)
    return Wired(agent, uplink, outbox, presence, publisher)


def _book(around: Around) -> SketchBook:
    parts, seconds = around.sketched
    return SketchBook(
        around.clock,
        boot=around.journal.boot,
        bundle=around.model.bundle,
        recipe=around.recipe,
        parts=parts,
        seconds=seconds,
    )
