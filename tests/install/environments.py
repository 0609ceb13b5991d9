"""Environments as README has them made: a copy of the checkout, a venv, one extra, nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.support.documented import ROOT, Step, blocks, pages

PATIENCE_S = 900
# Its own command makes the environment.
OWN_WAY: dict[tuple[str, ...], list[str]] = {("demo",): ["make .venv/.demo"]}
VENV = "python3 -m venv .venv"
TORCH = ".venv/bin/pip install -c constraints.txt torch==2.13.0"
INSTALL = ".venv/bin/pip install -c constraints.txt '.[{}]'"
WITH_TORCH = {"train", "learn"}
INSTALLING = re.compile(r"^(python3 -m venv|\.venv/bin/pip install) ")


def installs(step: Step) -> bool:
    """Whether the command makes the environment that the others need."""
    return bool(INSTALLING.match(step.text))


def documented(extras: tuple[str, ...]) -> list[str]:
    """How the pages say to install these extras; else in the same way."""
    for page in pages():
        for block in blocks(page):
            found = [step.text for step in block.steps if installs(step)]
            if block.extras == extras and found:
                return found
    torch = [TORCH] if WITH_TORCH & set(extras) else []
    return OWN_WAY.get(extras) or [VENV, *torch, INSTALL.format(",".join(extras))]


def copy_checkout(folder: Path) -> None:
    """What git has of this checkout, as a clone has it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)


def surroundings(home: Path) -> dict[str, str]:
    """Of a user who has just come: no CI, nothing of ours in the path."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in ("LANG", "TERM", "TMPDIR") if name in os.environ}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**kept, "HOME": str(home), "PATH": path, "COLUMNS": "120", "NO_COLOR": "1"}


class Environments:
    """Made two at a time, while the tests that have theirs run.

    wanted   extras, in the order in which they will be asked for
    """

    def __init__(self, folder: Path, wanted: Iterable[tuple[str, ...]] = ()) -> None:
        self._folder = folder
        self._makers = ThreadPoolExecutor(2)
        self._made: dict[tuple[str, ...], Future[Path]] = {}
        for extras in wanted:
            self._start(extras)

    def of(self, *extras: str) -> Path:
        """The copy of the checkout with its `.venv`. Raises AssertionError where pip failed."""
        return self._start(extras).result(PATIENCE_S)

    def close(self) -> None:
        self._makers.shutdown(cancel_futures=True)

    def _start(self, extras: tuple[str, ...]) -> Future[Path]:
        if extras not in self._made:
            self._made[extras] = self._makers.submit(self._make, extras)
        return self._made[extras]

    def _make(self, extras: tuple[str, ...]) -> Path:
        folder = self._folder / "-".join(extras)
        copy_checkout(folder)
        # The user's own settings of pip are the user's way to the index.
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        for command in documented(extras):
            _carry_out(command, folder, environment)
        return folder


def _carry_out(command: str, folder: Path, environment: dict[str, str]) -> None:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    said: Sequence[str] = (done.stdout + done.stderr).splitlines()[-20:]
    assert done.returncode == 0, f"{command}\n" + "\n".join(said)
