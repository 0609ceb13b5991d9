"""A shell in which one command is given after the other, as a person at a terminal does."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PATIENCE_S = 600.0
READY_S = 120.0
# A network of its own, where it may be had: nothing of this machine is in the way, or reached.
ALONE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec bash "$0"', "/dev/stdin"]


@dataclass(frozen=True, slots=True)
class Given:
    """A command that came to its end.

    code   its exit code
    said   what it printed, and said on standard error
    """

    command: str
    code: int
    said: str


@dataclass(frozen=True, slots=True)
class Started:
    """A command that stays; pid of its process group."""

    command: str
    pid: int
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Shell:
    """Entered: a bash in a folder; left: it is gone, with all that it started."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._logs = folder.with_name(folder.name + ".logs")
        self._logs.mkdir()
        self._started: list[Started] = []
        self._count = 0

    def __enter__(self) -> Self:
        self._answers, answering = os.pipe()
        self._bash = subprocess.Popen(
            ALONE if os.geteuid() == 0 else ["bash", "/dev/stdin"],
            cwd=self._folder,
            env=dict(self._environment),
            stdin=subprocess.PIPE,
            pass_fds=[answering],
            text=True,
        )
        os.close(answering)
        self._answer_fd = answering
        return self

    def __exit__(self, *_: object) -> None:
        for started in self._started:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
        self._bash.kill()
        self._bash.communicate()
        os.close(self._answers)

    def give(self, command: str, timeout_s: float = PATIENCE_S) -> Given:
        """Run it to its end. Raises TimeoutError where it takes longer."""
        log = self._log()
        self._write(f"{{ {command}\n}} >{log} 2>&1 </dev/null\necho $? >&{self._answer_fd}\n")
        code = self._answer(command, log, timeout_s)
        return Given(command, code, log.read_text(errors="replace"))

    def start(self, command: str, ready: str) -> Started:
        """Run it beside what follows, from when it has printed something. Raises TimeoutError."""
        log = self._log()
        # With job control it has a process group of its own, and does not ignore SIGINT.
        self._write(f"set -m\n{{ {command}\n}} >{log} 2>&1 </dev/null &\nset +m\n")
        self._write(f"echo $! >&{self._answer_fd}\n")
        started = Started(command, self._answer(command, log, READY_S), log)
        self._started.append(started)
        give_up, pause = time.monotonic() + READY_S, threading.Event()
        while not re.search(ready, started.said):
            if time.monotonic() > give_up:
                raise TimeoutError(f"{command} is not ready: {started.said[-2000:]}")
            pause.wait(0.1)
        return started

    def stop(self, started: Started) -> Given:
        """Ctrl-C, and its end."""
        os.killpg(started.pid, signal.SIGINT)
        self._write(f"wait {started.pid}\necho $? >&{self._answer_fd}\n")
        code = self._answer(started.command, started.log, READY_S)
        return Given(started.command, code, started.said)

    def _log(self) -> Path:
        self._count += 1
        log = self._logs / f"{self._count:02}.log"
        log.touch()
        return log

    def _write(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text)
        self._bash.stdin.flush()

    def _answer(self, command: str, log: Path, timeout_s: float) -> int:
        ready, _, _ = select.select([self._answers], [], [], timeout_s)
        if not ready:
            said = log.read_text(errors="replace")[-2000:]
            raise TimeoutError(f"{command} has not ended after {timeout_s:.0f} s: {said}")
        return int(os.read(self._answers, 64).split()[0])
