"""The report of `splitsight sim fleet`, and the arithmetic behind it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np


class EscalationLatency(msgspec.Struct, frozen=True):
    """Escalation → actuated verdict, milliseconds. One without an answer in time counts with the
    time until its deadline's verdict. None where none was measured.
    """

    count: int
    p50: float | None
    p99: float | None


class PerDevice(msgspec.Struct, frozen=True):
    """What a device costs broker and cloud together, above what they take when nobody is there.

    cpu_ms_per_part  core milliseconds
    memory_kb        a device; with few of them lost in what a process gains or frees by itself
    bytes_per_part   TCP payload to and from the broker, keep-alive and state included
    """

    cpu_ms_per_part: float
    memory_kb: float
    bytes_per_part: float


class ServiceUsage(msgspec.Struct, frozen=True):
    """Broker or cloud.

    idle_cores       cores in use before the first device connected
    cpu_ms_per_part  core milliseconds above that
    memory_kb        proportional set size at the end of the measured span
    """

    idle_cores: float
    cpu_ms_per_part: float
    memory_kb: float
    connections: int


class Simulator(msgspec.Struct, frozen=True):
    """The workers and their coordinator.

    late_ms_p99  how much later than due parts had their turn: above some milliseconds, the
                 machine was too small for the simulator
    """

    memory_kb: float
    cpu_ms_per_part: float
    late_ms_p99: float | None


class PartCost(msgspec.Struct, frozen=True):
    """What one part needs, measured apart and on one core, milliseconds.

    head_ms, tail_ms  the network's halves, one part at a time
    escalation_bytes  encoded features of an escalation, the mean
    commit_ms         one commit of one inspection to the cloud's database, its wait for the disk
                      included; commit_cpu_ms without it
    row_ms            what each further inspection in a commit adds
    row_bytes         of the database file, a part
    """

    head_ms: float
    tail_ms: float
    escalation_bytes: float
    commit_ms: float
    commit_cpu_ms: float
    row_ms: float
    row_bytes: float


class FleetRow(msgspec.Struct, frozen=True):
    """One number of devices.

    parts               that came by, all of them
    lost                of these, without a record in the cloud
    duplicates          recorded more than once
    without_verdict     that no actuator was told of
    deadlines_missed    decided by the deadline, since no answer came in time
    seconds, every_s    the measured span, and from one part of a device to its next
    escalated           share of parts
    cost_growth         cpu_ms_per_part against the row of fewer devices before; 0.1 is 10 % more
    growth_exponent     x in: cpu_ms_per_part grows as devices to the x, fitted over all rows;
                        0 where a device costs the same in any company
    """

    devices: int
    parts: int
    lost: int
    duplicates: int
    without_verdict: int
    deadlines_missed: int
    escalation_ms: EscalationLatency
    per_device: PerDevice
    broker: ServiceUsage
    cloud: ServiceUsage
    simulator: Simulator
    one_part: PartCost
    seconds: float
    every_s: float
    escalated: float
    reconnects: int
    machine: str
    measured_at: str
    cost_growth: float | None = None
    growth_exponent: float | None = None


def percentiles(times_ms: Sequence[float]) -> EscalationLatency:
    if not times_ms:
        return EscalationLatency(0, None, None)
    p50, p99 = np.percentile(np.asarray(times_ms), [50, 99])
    return EscalationLatency(len(times_ms), round(float(p50), 2), round(float(p99), 2))


def growth_exponent(devices: Sequence[int], costs: Sequence[float]) -> float | None:
    """The slope of log cost over log devices, by least squares.

    None for fewer than two numbers of devices, or for a cost that is not above 0.
    """
    if len(set(devices)) < 2 or min(costs) <= 0:
        return None
    slope, _ = np.polyfit(np.log(devices), np.log(costs), 1)
    return round(float(slope), 3)


def with_growth(rows: Sequence[FleetRow]) -> list[FleetRow]:
    """The rows, fewest devices first, with what only all of them together tell."""
    ordered = sorted(rows, key=lambda row: row.devices)
    costs = [row.per_device.cpu_ms_per_part for row in ordered]
    exponent = growth_exponent([row.devices for row in ordered], costs)
    grown = [None, *(_growth(a, b) for a, b in itertools.pairwise(costs))][: len(ordered)]
    return [
        msgspec.structs.replace(row, cost_growth=growth, growth_exponent=exponent)
        for row, growth in zip(ordered, grown, strict=True)
    ]


def _growth(before: float, after: float) -> float | None:
    return round(after / before - 1, 3) if before > 0 else None
