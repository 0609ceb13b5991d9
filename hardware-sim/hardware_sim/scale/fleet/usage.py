"""What a process has used of the machine so far, and holds now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from shared.errors import ProcessError


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
