"""The learner as the agent sees it: a process that exists only during a round."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from shared import parent_guard
from shared.errors import MissingExtra
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("rounds")

Priority = Literal["idle", "low", "normal"]
NICE: dict[Priority, int] = {"idle": 19, "low": 10, "normal": 0}
NEEDED = ("torch", "flwr")
END_S = 2.0
# One thread, whatever library does the arithmetic.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Task(msgspec.Struct, frozen=True):
    """An order for the learner; its message and the base network lie in files."""

    id: str
    message: str
    base: str


class TaskDone(msgspec.Struct, frozen=True):
    """The learner's answer to a task lies in a file; or `problem` says why there is none.

    holds   it keeps an update, in memory only, that later tasks of the round ask for
    """

    id: str
    answer: str = ""
    problem: str = ""
    holds: bool = False


class Gone(msgspec.Struct, frozen=True):
    """The learner's process has ended, and how."""

    how: str


Heard = TaskDone | Gone


class Learner(Protocol):
    """What `Rounds` needs of a learner."""

    def give(self, task: Task) -> None:
        """Have it do a task; `heard` is called when it is done."""

    def pause(self) -> None:
        """Let it stand still, where it stands."""

    def go_on(self) -> None:
        """Undo `pause`."""

    def memory_bytes(self) -> int:
        """What it holds resident; 0 once it has ended."""

    def end(self) -> None:
        """End it at once."""


OpenLearner = Callable[[Callable[[Heard], None]], Learner]


class LearnerProcess:
    """Runs at a low priority, with one thread, and dies with the thread that opened it."""

    def __init__(
        self,
        command: Sequence[str],
        heard: Callable[[Heard], None],
        *,
        priority: Priority = "idle",
    ) -> None:
        """heard: called on a thread of its own for each answer, and once at the end."""
        ours, theirs = socket.socketpair()
        with theirs:
            # Its standard output goes where ours does not: nobody reads what a library prints.
            self._child = subprocess.Popen(
                parent_guard.guarded([*command, "--fd", str(theirs.fileno())]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | _ONE_THREAD,
                # Not a session of its own: Linux may weigh sessions against each other as wholes
                # (sched_autogroup), and then a priority within one means nothing to the agent.
                process_group=0,
            )
        _give_way(self._child.pid, priority)
        self._socket = ours
        self._heard = heard
        Worker("learner", self._listen, on_death=self._died).start()
        log.info("learner_started", pid=self._child.pid)

    @property
    def pid(self) -> int:
        return self._child.pid

    def give(self, task: Task) -> None:
        # Short enough for the socket's buffer: this never waits for the learner.
        with contextlib.suppress(OSError):
            self._socket.sendall(msgspec.json.encode(task) + b"\n")

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def memory_bytes(self) -> int:
        try:
            pages = Path(f"/proc/{self._child.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(END_S)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)

    def _died(self, _name: str, error: BaseException) -> None:
        self.end()
        self._heard(Gone(f"what it says can't be heard: {type(error).__name__}: {error}"))

    def _listen(self) -> None:
        lines = self._socket.makefile("rb")
        with contextlib.suppress(OSError), self._socket, lines:
            for line in lines:
                try:
                    self._heard(msgspec.json.decode(line, type=TaskDone))
                except msgspec.MsgspecError:
                    log.warning("learner_unclear", said=line[:200].decode(errors="replace"))
        code = self._child.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        log.info("learner_ended", pid=self._child.pid, how=how)
        self._heard(Gone(how))


def require_learner() -> None:
    """Raises MissingExtra where what learns is not installed. Imports nothing of it."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra("learn", ImportError(name=name))


def learner_command(
    journal: Path, device: str, state: Path, *, identity: Path | None = None, ca: Path | None = None
) -> list[str]:
    """The learner of this installation.

    identity, ca   the folder of the device's certificate, and the fleet's authority
    """
    options = ["--journal", str(journal), "--device", device, "--state", str(state)]
    if identity is not None and ca is not None:
        options += ["--identity", str(identity), "--ca", str(ca)]
    return [sys.executable, "-m", "edge.learner", *options]


def _give_way(pid: int, priority: Priority) -> None:
    """From outside, so that not even its imports run at ours."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE[priority])
    if priority == "idle":
        with contextlib.suppress(OSError, AttributeError):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError):
        # If memory runs out, the kernel takes the learner and not the agent.
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
