"""Starts a program that ends with its parent: `python -I -S guard.py PARENT PROGRAM …`.

Run as a script of its own, because `preexec_fn` is unsafe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def guarded(command: Sequence[str]) -> list[str]:
    """The command, to be started by this process and to end with it."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main() -> None:
    """Ask the kernel for SIGKILL at the parent's end, then become the program."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # The parent ended before it could be watched.
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the command is our own


if __name__ == "__main__":
    main()
