"""Devices and a server that make a secure sum, with any of them going silent at any step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec
import numpy as np

from edge.learner import secure_aggregation as device
from fleet.rounds.aggregation.secure_mean import SecureMean, SecureRound
from shared.errors import FederationError
from shared.federation.fixed_point import FixedPoint, Floats, Words
from shared.federation.secure_aggregation import Invitation, Revealed, written


class Until(IntEnum):
    """The last thing a device does before it goes silent."""

    NOTHING = 0
    KEYS = 1
    SHARES = 2
    UPDATE = 3
    ALL = 4


@dataclass
class Plant:
    """One device's update and how long it stays.

    revealing   changes what it gives away in the end
    """

    values: Floats
    weight: int
    until: Until = Until.ALL
    revealing: Callable[[Revealed], Revealed] = lambda given: given


@dataclass
class Round:
    """A round among `plants`, by device; `seen` is every byte the server was sent, by step."""

    plants: Mapping[int, Plant]
    cap: int = 64
    limit: float = 0.5
    seen: dict[str, dict[int, bytes]] = field(default_factory=dict)
    sessions: dict[int, device.SecureSession] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.length = len(next(iter(self.plants.values())).values)
        self.invitation = Invitation(
            b"s" * 32, len(self.plants), self.cap, norm=1e9, floor=self.limit, reach=0
        )
        self.limits = self.invitation.limits(np.zeros(self.length))
        self.server = SecureRound(self.invitation, self.limits, lambda one: f"box-{one}")

    @property
    def encoding(self) -> FixedPoint:
        return FixedPoint(len(self.plants), self.cap)

    def words(self, one: int) -> Words:
        """What the device encodes, before any mask."""
        plant = self.plants[one]
        return self.encoding.encode(plant.values, self.limits, plant.weight)

    def run(self) -> SecureMean:
        adverts = {}
        for one, plant in self._still(Until.KEYS).items():
            self.sessions[one], adverts[one] = device.advertise(
                self.invitation, one, plant.values, self.limits, plant.weight
            )
        self._record("keys", adverts)
        rosters = self.server.roster(adverts)
        deals = {}
        for one in self._still(Until.SHARES):
            self.sessions[one], deals[one] = device.deal(self.sessions[one], rosters[one])
        self._record("shares", deals)
        deliveries = self.server.deliveries(deals)
        updates = {}
        for one in set(self._still(Until.UPDATE)) & set(deliveries):
            try:
                self.sessions[one], updates[one] = device.mask(self.sessions[one], deliveries[one])
            except FederationError as error:
                self.server.aside[one] = error.message
        self._record("update", updates)
        survivors = self.server.survivors(updates)
        revealed = {}
        for one in set(self._still(Until.ALL)) & set(survivors):
            given = device.unmask(self.sessions[one], survivors[one])
            revealed[one] = self.plants[one].revealing(given)
        self._record("unmask", revealed)
        return self.server.mean(revealed)

    def plain(self, devices: tuple[int, ...]) -> tuple[Floats, int]:
        """The same mean from sums in the open."""
        total = np.zeros(self.length + 1, np.uint32)
        for one in devices:
            total += self.words(one)
        return self.encoding.decode(total & np.uint32(0xFFFFFF), self.limits)

    def _still(self, step: Until) -> dict[int, Plant]:
        return {one: plant for one, plant in self.plants.items() if plant.until >= step}

    def _record(self, step: str, messages: Mapping[int, msgspec.Struct]) -> None:
        self.seen[step] = {one: written(message) for one, message in messages.items()}
