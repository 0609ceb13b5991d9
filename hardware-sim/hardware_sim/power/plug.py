"""Power cuts: SIGKILL to everything behind one plug, at a chosen instant."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

from shared.errors import ProcessError

MARK = "SPLITSIGHT_PLUG"
POLL_S = 0.002
SETTLE_S = 5.0
# A process in one of these can't start another one.
STILL = {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE}


@dataclass(frozen=True, slots=True)
class Killed:
    """One process that a power cut ended."""

    pid: int
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PowerCut:
    """What a cut ended, and when: seconds on the monotonic clock when everything stood still."""

    at: float
    killed: tuple[Killed, ...]


class Plug:
    """Everything that one cable feeds.

    Processes belong to it that were started with `environment`, or were fed by `feed`; so does
    whatever they start, sessions and daemons of their own included. A process escapes only when
    it clears its environment, leaves its session and outlives its parents, all three.
    """

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)
        self._roots: list[psutil.Process] = []

    @property
    def environment(self) -> dict[str, str]:
        """Our own environment with this plug's mark, for `subprocess.Popen(env=...)`."""
        return {**os.environ, MARK: self._mark}

    def feed(self, pid: int) -> None:
        """A process that runs already, and its children, hang on this plug too.

        Raises ProcessError for a process that is not there, and for ourselves.
        """
        try:
            process = psutil.Process(pid)
        except psutil.NoSuchProcess as error:
            raise ProcessError(
                f"there is no process {pid} to cut the power of", fix="start it first"
            ) from error
        if process.pid in _own_line():
            raise ProcessError(
                f"process {pid} runs this simulator", fix="feed the processes that it started"
            )
        self._roots.append(process)

    def members(self) -> list[psutil.Process]:
        """What hangs on it now, zombies left out."""
        spared = _own_line()
        alive = [p for p in psutil.process_iter() if p.pid not in spared and not _is_dead(p)]
        found = {p.pid: p for p in alive if p in self._roots or self._is_marked(p)}
        sessions = {session for p in found.values() if (session := _session(p)) in found}
        found |= {p.pid: p for p in alive if _session(p) in sessions}
        parents = {p.pid: _parent(p) for p in alive}
        for process in alive:
            above: int | None = process.pid
            while above is not None and above not in found:
                above = parents.get(above)
            if above is not None:
                found[process.pid] = process
        return list(found.values())

    def cut(self) -> PowerCut:
        """Stop them all first, so that none can start another one, then kill them at once.

        Raises ProcessError where one of them survives.
        """
        stopped: dict[int, psutil.Process] = {}
        until = time.monotonic() + SETTLE_S
        while fresh := [p for p in self.members() if p.pid not in stopped]:
            for process in fresh:
                _signal(process, signal.SIGSTOP)
                stopped[process.pid] = process
            _await(stopped.values(), _is_still, until)
        at = time.monotonic()
        killed = tuple(_described(process) for process in stopped.values())
        for process in stopped.values():
            _signal(process, signal.SIGKILL)
        _await(stopped.values(), _is_dead, until)
        left = [process.pid for process in stopped.values() if not _is_dead(process)]
        if left:
            raise ProcessError(
                f"processes {left} survived the power cut", fix="end them by hand with kill -9"
            )
        self._roots.clear()
        return PowerCut(at, killed)

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark
        except (psutil.Error, OSError):
            return False


def _own_line() -> set[int]:
    """Ourselves and those above us: a plug never cuts the hand that pulls it."""
    me = psutil.Process()
    return {me.pid, *(parent.pid for parent in me.parents())}


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _is_still(process: psutil.Process) -> bool:
    try:
        return process.status() in STILL
    except psutil.NoSuchProcess:
        return True


def _is_dead(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _described(process: psutil.Process) -> Killed:
    try:
        with process.oneshot():
            return Killed(process.pid, process.name(), tuple(process.cmdline()))
    except psutil.Error:
        return Killed(process.pid, "", ())


def _await(
    processes: Iterable[psutil.Process], holds: Callable[[psutil.Process], bool], until: float
) -> None:
    """Wait until it holds of all, or `until`. psutil's own wait would take the exit codes."""
    pause = threading.Event()
    while not all(map(holds, processes)) and time.monotonic() < until:
        pause.wait(POLL_S)
