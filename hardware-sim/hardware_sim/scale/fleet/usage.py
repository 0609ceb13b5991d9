"""What processes have used of the machine, at a moment and between two."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from hardware_sim.scale.fleet.report import EscalationLatency, ServiceUsage, Simulator
from shared.errors import ProcessError

LEAST_S = 0.1


@dataclass(frozen=True, slots=True)
class Usage:
    """One process at one moment.

    cpu_s        core seconds since it began
    memory_kb    proportional set size, kB: what it shares with others counts in part
    connections  TCP connections that stand
    """

    pid: int
    cpu_s: float
    memory_kb: float
    connections: int

    @classmethod
    def of(cls, pid: int | None) -> Usage:
        """Raises ProcessError where the process is gone or may not be looked at."""
        try:
            process = psutil.Process(pid if pid is not None else -1)
            memory = process.memory_full_info()
            standing = [c for c in process.net_connections("tcp") if c.status == "ESTABLISHED"]
            return cls(process.pid, _cpu_s(process), memory.pss / 1024, len(standing))
        except (psutil.Error, OSError, ValueError) as error:
            raise ProcessError(
                f"the use of process {pid} can't be measured ({error})",
                fix="see its log; measure as the user who started it, on Linux",
            ) from error

    def cpu_since(self, before: Usage) -> float:
        """Core seconds between two moments; of a process that was replaced, all of the new one."""
        return self.cpu_s - before.cpu_s if self.pid == before.pid else self.cpu_s


def _cpu_s(process: psutil.Process) -> float:
    """From the scheduler, by the nanosecond; the process's own clock ticks only each 10 ms."""
    tasks = list(Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    times = [int(task.read_text().split()[0]) for task in tasks]
    if any(times):
        return sum(times) / 1e9
    spent = process.cpu_times()
    return float(spent.user + spent.system)


class Moment(NamedTuple):
    """What everything has used at one moment of the monotonic clock."""

    at: float
    broker: Usage
    cloud: Usage
    workers: tuple[Usage, ...]

    @classmethod
    def now(cls, broker: int | None, cloud: int | None, workers: Sequence[int | None]) -> Moment:
        """From process ids. Raises ProcessError where one is gone."""
        used = tuple(Usage.of(pid) for pid in workers)
        return cls(time.monotonic(), Usage.of(broker), Usage.of(cloud), used)


class Spans(NamedTuple):
    """The moments around the idle span and around the measured one."""

    idle_from: Moment
    idle_to: Moment
    first: Moment
    last: Moment

    def service(self, which: Callable[[Moment], Usage], parts: int) -> ServiceUsage:
        idle_s = self.idle_to.at - self.idle_from.at
        idle = which(self.idle_to).cpu_since(which(self.idle_from)) / max(idle_s, LEAST_S)
        spent = which(self.last).cpu_since(which(self.first))
        above = spent - idle * (self.last.at - self.first.at)
        return ServiceUsage(
            idle_cores=round(idle, 5),
            cpu_ms_per_part=round(above * 1000 / max(1, parts), 4),
            memory_kb=round(which(self.last).memory_kb, 1),
            connections=which(self.last).connections,
        )

    def simulator(self, parts: int, late: EscalationLatency) -> Simulator:
        own = Usage.of(os.getpid())
        pairs = zip(self.first.workers, self.last.workers, strict=False)
        spent = sum(last.cpu_since(first) for first, last in pairs)
        return Simulator(
            memory_kb=round(sum(one.memory_kb for one in (own, *self.last.workers)), 1),
            cpu_ms_per_part=round(spent * 1000 / max(1, parts), 3),
            late_ms_p99=late.p99,
        )

    @property
    def grown_kb(self) -> float:
        """What broker and cloud hold more than before the first device came."""
        now, then = self.last, self.idle_to
        grown = now.broker.memory_kb + now.cloud.memory_kb
        return grown - then.broker.memory_kb - then.cloud.memory_kb
