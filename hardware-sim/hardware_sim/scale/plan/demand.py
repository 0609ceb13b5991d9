"""What a part asks of broker, intake, tail and database, from a fleet's measurements.

Messages a part follow from the agent's own timing; what each costs is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.link.outbox import BATCH_S
from edge.link.presence import EVERY_S
from hardware_sim.scale.fleet.report import FleetRow
from shared.errors import DataError, SettingsError

SHIPPED = Path(__file__).with_name("measured.json")
# A part that is inspected changes the device's state, and so does its receipt.
STATES_A_PART = 2.0


@dataclass(frozen=True, slots=True)
class Load:
    """Devices that each inspect a part every `every_s` seconds, of which a share escalates."""

    devices: int
    every_s: float
    escalated: float

    def __post_init__(self) -> None:
        if self.devices < 1 or self.every_s <= 0 or not 0 <= self.escalated <= 1:
            raise SettingsError(
                f"{self.devices} devices, a part every {self.every_s:g} s, {self.escalated:g} "
                "escalated",
                fix="want 1 device or more, parts above 0 and a share of 0 to 1",
            )

    @property
    def parts_per_s(self) -> float:
        return self.devices / self.every_s

    @property
    def batches(self) -> float:
        """Messages with inspections, a part; the outbox sends one each BATCH_S at most."""
        return min(1.0, self.every_s / BATCH_S)

    @property
    def states(self) -> float:
        """Messages with the device's state, a part; presence sends one each EVERY_S at most."""
        return min(STATES_A_PART, self.every_s / EVERY_S)

    @property
    def messages(self) -> float:
        """Of every kind, a part: each batch has its receipt, each escalation its verdict."""
        return 2 * self.batches + self.states + 2 * self.escalated

    @property
    def stored(self) -> float:
        """Things to be stored, a part: batches, states, and what the tail found."""
        return self.batches + self.states + self.escalated

    @property
    def rows(self) -> float:
        """Database rows, a part: its inspection, states, and what the tail found."""
        return 1.0 + self.states + self.escalated


@dataclass(frozen=True, slots=True)
class Costs:
    """What each thing costs, seconds of one core of the measuring machine.

    broker_s, intake_s  a message
    tail_s              an escalation
    commit_s            a commit, of which `commit_cpu_s` is intake's and the rest the disk's
    row_s               each row in it
    escalation_bytes, message_bytes   on the wire: features, and everything else a message
    row_bytes           stored, a row
    """

    broker_s: float
    intake_s: float
    tail_s: float
    commit_s: float
    commit_cpu_s: float
    row_s: float
    escalation_bytes: float
    message_bytes: float
    row_bytes: float

    @classmethod
    def of(cls, row: FleetRow) -> Costs:
        """What one measured number of devices says. Raises DataError where it can't be so."""
        load, part = load_of(row), row.one_part
        commits = commits_per_part(load, 1, part.commit_ms / 1000)
        known_ms = load.escalated * part.tail_ms + load.rows * part.row_ms
        intake_ms = row.cloud.cpu_ms_per_part - known_ms - commits * part.commit_cpu_ms
        small_bytes = row.per_device.bytes_per_part - load.escalated * part.escalation_bytes
        if min(intake_ms, row.broker.cpu_ms_per_part, small_bytes) <= 0:
            raise DataError(
                f"the measurement at {row.devices} devices leaves {intake_ms:.2f} ms for intake, "
                f"{row.broker.cpu_ms_per_part:.2f} ms for the broker and {small_bytes:.0f} B",
                fix="measure again, longer and on an idle machine: `splitsight sim fleet`",
            )
        return cls(
            broker_s=row.broker.cpu_ms_per_part / load.messages / 1000,
            intake_s=intake_ms / load.messages / 1000,
            tail_s=part.tail_ms / 1000,
            commit_s=part.commit_ms / 1000,
            commit_cpu_s=part.commit_cpu_ms / 1000,
            row_s=part.row_ms / 1000,
            escalation_bytes=part.escalation_bytes,
            message_bytes=small_bytes / load.messages,
            row_bytes=part.row_bytes,
        )

    @property
    def disk_s(self) -> float:
        """What a commit waits for the disk."""
        return max(0.0, self.commit_s - self.commit_cpu_s)

    def bytes_per_part(self, load: Load) -> float:
        return load.escalated * self.escalation_bytes + load.messages * self.message_bytes

    def broker_per_part(self, load: Load) -> float:
        return load.messages * self.broker_s

    def tail_per_part(self, load: Load) -> float:
        return load.escalated * self.tail_s

    def intake_per_part(self, load: Load, workers: int) -> float:
        """Everything that Python does in so many workers, the tail not among it."""
        commits = commits_per_part(load, workers, self.commit_s)
        return load.messages * self.intake_s + load.rows * self.row_s + commits * self.commit_cpu_s


def load_of(row: FleetRow) -> Load:
    return Load(row.devices, row.every_s, row.escalated)


def commits_per_part(load: Load, workers: int, commit_s: float) -> float:
    """How many commits a part takes where a worker stores all that waits in one.

    A worker's commits are a renewal process: after one, which takes W, the next begins at once
    where something has come meanwhile, else with the next arrival; with Poisson arrivals of
    rate r that makes one each W + exp(-rW) / r seconds. A bound from above, by up to a fifth:
    a device sends its inspections and its state together.
    """
    rate = load.parts_per_s * load.stored / workers
    return workers / (commit_s + math.exp(-rate * commit_s) / rate) / load.parts_per_s


def read_measured(path: Path | None) -> list[FleetRow]:
    """The rows that `splitsight sim fleet --format json` printed, fewest devices first.

    Raises DataError where the file has none.
    """
    path = path or SHIPPED
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=list[FleetRow])
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(
            f"{path} holds no measurement of a fleet ({error})",
            fix="make one: `splitsight sim fleet --format json > fleet.json`",
        ) from error
    if not rows:
        raise DataError(f"{path} has no rows", fix="measure one number of devices at least")
    return sorted(rows, key=lambda row: row.devices)


def best_of(rows: Sequence[FleetRow]) -> Costs:
    """From the most devices: there a part's cost drowns the noise most."""
    return Costs.of(rows[-1])
