"""A reader's way through one page: all its commands, in a fresh copy of the checkout."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.install.environments import Environments, copy_checkout, installs, surroundings
from tests.install.prepared import README, prepare
from tests.install.shell import Given, Shell, Started
from tests.support.documented import ROOT, Step, blocks, files

# What runs until it is stopped, and what it prints when it does its work.
STAYING = {"edge run": '"event": "part_rejected"', "cloud serve": '"event": "ready"'}
# Documented in `splitsight cloud train --help`: a few small epochs say whether a command works.
SMALL = {
    "SPLITSIGHT_TRAIN_EPOCHS": "1",
    "SPLITSIGHT_TRAIN_TAIL_EPOCHS": "1",
    "SPLITSIGHT_TRAIN_BOTTLENECK_EPOCHS": "1",
    "SPLITSIGHT_TRAIN_HEIGHT": "64",
    "SPLITSIGHT_TRAIN_WIDTH": "64",
    "SPLITSIGHT_LEAKAGE_EPOCHS": "1",
    "SPLITSIGHT_SEARCH_BUDGET": "10s",
    # Of the Makefile: `make demo` ends after so many parts.
    "PARTS": "60",
}


@dataclass(frozen=True, slots=True)
class Walked:
    """A page's commands as they ended, and the folder in which they did their work."""

    folder: Path
    given: list[tuple[Step, Given]]


class Journeys:
    """Each is made once; a page may build on what another one has left."""

    def __init__(self, environments: Environments, folder: Path) -> None:
        self._environments = environments
        self._folder = folder
        self._walked: dict[tuple[str, tuple[str, ...]], Walked] = {}

    def of(self, page: Path, *extras: str) -> Walked:
        """Run it, unless it has been."""
        key = (page.name, extras)
        if key not in self._walked:
            self._walked[key] = self._walk(page, extras)
        return self._walked[key]

    def _walk(self, page: Path, extras: tuple[str, ...]) -> Walked:
        made = self._environments.of(*extras)
        folder = self._folder / f"{page.stem}-{'-'.join(extras)}"
        if page.name == README:
            copy_checkout(folder)
        else:
            shutil.copytree(ROOT / "bundles", folder / "bundles")
        (folder / ".venv").symlink_to(made / ".venv")
        for name, text in files(page).items():
            (folder / name).write_text(text)
        prepare(page, extras, folder, self._earlier)
        environment = surroundings(folder.with_name(folder.name + ".home")) | SMALL
        environment["PATH"] = f"{folder}/.venv/bin:{environment['PATH']}"
        with Shell(folder, environment) as shell:
            return Walked(folder, _commands(shell, page, extras, folder))

    def _earlier(self, page: str, *extras: str) -> Path:
        return self.of(ROOT / page, *extras).folder


def _commands(
    shell: Shell, page: Path, extras: tuple[str, ...], folder: Path
) -> list[tuple[Step, Given]]:
    given: list[tuple[Step, Given]] = []
    staying: list[tuple[Step, Started]] = []
    for block in blocks(page):
        if block.extras != extras:
            continue
        for step in block.steps:
            if installs(step):
                continue
            text = _named(step.text, block.named, given)
            ready = next(
                (ready for what, ready in STAYING.items() if f"splitsight {what}" in text), ""
            )
            if ready:
                _settle(folder, given)
                staying.append((step, shell.start(text, ready)))
                continue
            ended = shell.give(text)
            given.append((step, ended))
            if (ended.code != 0) != step.fails:
                # What follows builds on it.
                return given
    given.extend((step, shell.stop(started)) for step, started in reversed(staying))
    return given


def _named(text: str, named: dict[str, str], given: list[tuple[Step, Given]]) -> str:
    """A name that differs from run to run, as an earlier command has told it."""
    for name, pattern in named.items():
        found = re.search(pattern, "\n".join(one.said for _, one in given))
        if found:
            text = text.replace(name, found[1])
    return text


def _settle(folder: Path, given: list[tuple[Step, Given]]) -> None:
    """Do as `fleet init` says: what it prints goes into cloud.yaml."""
    for step, ended in given:
        if "splitsight fleet init" in step.text:
            told = ended.said.partition("relative to that file:\n")[2].partition("\nGive every")[0]
            (folder / "cloud.yaml").write_text(f"bundles: [bundles/elpv]\n{told}")
