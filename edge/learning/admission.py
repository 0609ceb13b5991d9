"""Which orders of a round a device takes, and the base networks that it keeps for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.errors import MissingExtra
from shared.federation.parcels import MEBI
from shared.federation.protocol import NO_LEARNER, NOT_NOW, Refusal
from shared.log import get_logger
from shared.storage.files import replace_file

log = get_logger("rounds")

SPARE_BYTES = 64 * MEBI
KEPT_BASES = 2


@dataclass(frozen=True, slots=True)
class LearningLimits:
    """What a round may take of this device.

    enabled       whether it takes part at all
    memory_bytes  that the learner may hold
    min_labels    labelled parts below which it does not train
    folder        for base networks, orders, and what stays here between rounds
    """

    enabled: bool
    memory_bytes: int
    min_labels: int
    folder: Path


@dataclass(slots=True)
class Admission:
    """Says why an order is not taken, before anything large of it has come.

    ready        raises MissingExtra where no learner is installed
    free_memory  bytes that could be used now
    held         why nothing is taken for the time being; empty where it is
    """

    limits: LearningLimits
    ready: Callable[[], None]
    free_memory: Callable[[], int]
    held: str = ""

    def refusal(self) -> Refusal | None:
        """Why this device takes part in nothing; None where it does."""
        if not self.limits.enabled or self.held:
            return Refusal(NOT_NOW, self.held or "learning.enabled is false on this device")
        try:
            self.ready()
        except MissingExtra as error:
            return Refusal(NO_LEARNER, error.message)
        return None

    def lack(self, size: int, *, learner_runs: bool) -> Refusal | None:
        """What an order of so many bytes would need and is not there."""
        free = shutil.disk_usage(_existing(self.limits.folder)).free
        if free < 2 * size + SPARE_BYTES:
            return Refusal(NOT_NOW, f"its disk has {free // MEBI} MB free")
        if learner_runs:
            return None
        memory, needed = self.free_memory(), self.limits.memory_bytes + SPARE_BYTES
        if memory >= needed:
            return None
        return Refusal(
            NOT_NOW, f"{memory // MEBI} MB of memory are free, {needed // MEBI} are needed"
        )

    def too_few(self, labelled: int) -> Refusal | None:
        """Whether that few labelled parts are not worth a training, or tell too much of them."""
        least = self.limits.min_labels
        if labelled >= least:
            return None
        return Refusal(NOT_NOW, f"{labelled} labelled parts, at least {least} here")


class Bases:
    """Base networks on disk, by their sha256; the newest are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        # The name comes over the network and must not lead out of the folder.
        name = sha256 if sha256.isalnum() and sha256.isascii() else "none"
        return self._folder / f"{name}.npz"

    def keep(self, sha256: str, content: bytes) -> None:
        """Raises OSError."""
        path = self.path(sha256)
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
        others = sorted(self._folder.glob("*.npz"), key=lambda one: one.stat().st_mtime)
        for old in others[:-KEPT_BASES]:
            old.unlink()
        log.info("base_fetched", sha256=sha256[:12], bytes=len(content))


def available_memory() -> int:
    """Bytes that could be used now without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return 0


def _existing(path: Path) -> Path:
    """The path, or the first folder above it that is there."""
    return path if path.exists() else _existing(path.parent)
