"""Puts the agent's parts together: in a box around real hardware, in a simulator around less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.actuator.base import Actuator
from edge.agent import Agent
from edge.camera.base import Camera
from edge.courier import Courier
from edge.health import Health
from edge.inspector import Looks
from edge.journal import Journals
from edge.outbox import Outbox, Source
from edge.presence import Presence, Snapshot
from edge.ring import RingPolicy
from edge.uplink import Uplink
from shared.bundle import Bundle
from shared.clock import Clock
from shared.topics import Address
from shared.transport.base import Transport


class Keeps(Journals, Source, Protocol):
    """A journal that the agent writes and the outbox reads."""


@dataclass(frozen=True, slots=True)
class Around:
    """What an agent works with.

    runtime      that runs its head, for people
    deadline_s   from trigger to verdict
    look         how it is now, for its state at the broker
    """

    address: Address
    bundle: Bundle
    transport: Transport
    camera: Camera
    inspector: Looks
    journal: Keeps
    actuator: Actuator
    ring: RingPolicy
    clock: Clock
    health: Health
    runtime: str
    deadline_s: float
    look: Callable[[], Snapshot]


@dataclass(frozen=True, slots=True)
class Wired:
    """The agent, and what carries its words to the broker. Nothing has been started."""

    agent: Agent
    outbox: Outbox
    presence: Presence
    courier: Courier


def wire(around: Around) -> Wired:
    """Subscribe what listens, and connect each part to the next."""
    transport, address, journal = around.transport, around.address, around.journal
    clock, health, manifest = around.clock, around.health, around.bundle.manifest
    uplink = Uplink(
        transport,
        address,
        boot=journal.boot,
        pair=manifest.pair,
        codec=around.bundle.codec,
        cap_bytes=manifest.features.cap_bytes,
        clock=clock,
        health=health,
    )
    agent = Agent(
        camera=around.camera,
        inspector=around.inspector,
        journal=journal,
        uplink=uplink,
        actuator=around.actuator,
        ring=around.ring,
        clock=clock,
        health=health,
        bundle=around.bundle.id,
        deadline_s=around.deadline_s,
    )
    uplink.listen(agent.answer)
    outbox = Outbox(journal, transport, address, clock=clock, health=health)
    outbox.listen()
    presence = Presence(
        transport,
        address,
        boot=journal.boot,
        bundle=around.bundle.id,
        runtime=around.runtime,
        clock=clock,
        look=around.look,
    )
    presence.listen()
    return Wired(agent, outbox, presence, Courier(outbox, presence))
