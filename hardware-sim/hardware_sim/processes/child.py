"""Child processes that never outlive us, and whose deaths are noticed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from shared import parent_guard
from shared.errors import ProcessError

STOP_TIMEOUT_S = 10.0
LAST_LINES = 5


def splitsight(*arguments: str) -> list[str]:
    """The command line of our own program, in this very installation."""
    return [sys.executable, "-m", "shared.commands", *arguments]


@dataclass
class Child:
    """One process with a log file of its own; started again when something kills it.

    environment   of the process; None for our own
    """

    name: str
    command: Sequence[str]
    log: Path
    restarts: int = 0
    environment: Mapping[str, str] | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where one ended it."""
        return self._process.poll() if self._process is not None else None

    def start(self) -> None:
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches us, and we stop each child in its turn.
            self._process = subprocess.Popen(
                parent_guard.guarded(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    def restart_if_killed(self) -> str | None:
        """Start it again where a signal ended it; what to tell the user, or None.

        Raises ProcessError where it ended by itself with an error: that would only repeat.
        """
        code = self.exit_code
        if code is None or code == 0:
            return None
        if code > 0:
            raise self.failure()
        self.restarts += 1
        self.start()
        return f"{self.name} was ended by {signal.Signals(-code).name} and is started again"

    def failure(self, fix: str | None = None) -> ProcessError:
        """That it ended, and how. fix: what to do, where its log is not the answer."""
        return ProcessError(
            f"{self.name} ended with exit code {self.exit_code}; its last words: "
            f"{self.last_words()}",
            fix=fix or f"its whole log is {self.log}",
        )

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " / ".join(line.strip() for line in lines[-LAST_LINES:]) or "none"

    def kill(self) -> None:
        """End it at once with all that it started, and wait until it has."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def pause(self) -> None:
        """Let it stand still with all that it started, as a machine that swaps or sleeps."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self.running:
            self._process.terminate()
            # What stands still hears nothing.
            self.resume()

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Wait for its end; kill it where it takes longer."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            return
        parent = psutil.Process(self._process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            # Its children first: a parent that goes on might start another one.
            for process in [*parent.children(recursive=True)[::-1], parent]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)


def stop_all(children: Sequence[Child]) -> None:
    """Ask all of them to end, then wait for each."""
    for child in children:
        child.stop()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for child in children:
        child.wait(max(0.1, deadline - time.monotonic()))
