"""Run `splitsight` as a user does: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# It ends a command that hangs. One that trains takes a minute here, and three beside other tests.
LIMIT_S = 600.0


@dataclass(frozen=True)
class Ended:
    """A command that came to its end."""

    code: int
    stdout: str
    stderr: str


def splitsight(*arguments: str | Path, path: Path | None = None, token: str = "") -> Ended:
    """Run one command line; `path` is a folder of further packages, `token` the shell's."""
    # A training records its run where the extra is installed; which tests want that say so.
    environment = {"SPLITSIGHT_EXPERIMENTS": "off", **os.environ, "COLUMNS": "400", "NO_COLOR": "1"}
    if token:
        environment["SPLITSIGHT_TOKEN"] = token
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-m", "shared.commands", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def ended_by(number: int, starts: Sequence[str], *arguments: str) -> tuple[str, int]:
    """What a command line says on stderr, and its exit code, where it is sent the signal `number`
    once lines that begin with each of `starts` have come, in this order."""
    with subprocess.Popen(
        [sys.executable, "-m", "shared.commands", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "400"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stderr is not None
        said, awaited = [], list(starts)
        for line in child.stderr:
            said.append(line)
            if line.startswith(awaited[0]):
                awaited.pop(0)
            if not awaited:
                child.send_signal(number)
                break
        said.append(child.stderr.read())
    return "".join(said), child.returncode
