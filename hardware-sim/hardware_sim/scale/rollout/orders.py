"""What the trial and its workers tell each other, in files that are replaced whole."""

from __future__ import annotations

import msgspec

from hardware_sim.scale.rollout.behaviour import Behaviour

STOP = "stop.json"


class BoxOrders(msgspec.Struct, frozen=True):
    """What one worker is to do.

    devices    the numbers of its boxes, from and to (not included)
    every_s    from one part of a box to its next
    gateway, ca, root   where releases come from, whom to believe, and the root to begin with
    base       the payload that every box starts with, and its label
    behaves    how bundles behave, by id; what is not named is good
    spared     boxes on which a bad release does well
    """

    name: str
    recording: str
    broker_port: int
    devices: tuple[int, int]
    every_s: float
    escalated: float
    seed: int
    gateway: str
    ca: str
    root: str
    base: str
    label: dict[str, str | int]
    behaves: dict[str, Behaviour]
    spared: list[str] = []


class Stop(msgspec.Struct, frozen=True):
    """The trial's word that it has seen enough."""

    at: float


class BoxProgress(msgspec.Struct, frozen=True):
    """How far a worker is. crashes: of its boxes' processes."""

    connected: int = 0
    parts: int = 0
    crashes: int = 0


class BoxStory(msgspec.Struct, frozen=True):
    """What one box lived through; see `hardware_sim.scale.rollout.box.Story`."""

    device: str
    ran: list[tuple[str, float]]
    parts: int
    crashes: int
    gap_s: float
    gap_at: float


class BoxOutcome(msgspec.Struct, frozen=True):
    """What a worker's boxes came to."""

    stories: list[BoxStory]
    reconnects: int
