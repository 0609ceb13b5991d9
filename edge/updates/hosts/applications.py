"""Applications: two unpacked folders, of which a launcher starts the one that the record names.

app/record.0, record.1        which slot is live
app/a.tar.zst, b.tar.zst      payloads, kept as the base of patches
app/a/, b/                    unpacked; `bin/splitsight` is what the launcher starts
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import zstandard

from edge.updates.base import Label
from edge.updates.disk import DurableFiles
from edge.updates.hosts.restart import RestartHost
from edge.updates.slots import FolderSlots, room_explained
from shared.errors import UpdateError
from shared.storage.files import replacing
from shared.storage.slots import Slot

SUFFIX = ".tar.zst"
PROGRAM = Path("bin") / "splitsight"
SLOT_VARIABLE = "SPLITSIGHT_APP_SLOT"
PROVE_S = 120.0
LARGEST = 4 << 30
# A slot that was emptied is not one that still holds what was installed.
NOTHING = Label("nothing", 0, "", 0)


class AppSlots(FolderSlots):
    """`FolderSlots` that unpack what they hold."""

    def __init__(self, disk: DurableFiles, folder: Path) -> None:
        super().__init__(disk, folder, SUFFIX)

    def tree(self, slot: Slot) -> Path:
        """The unpacked folder."""
        return self.folder / slot

    def discard(self, slot: Slot) -> None:
        super().discard(slot)
        if self.tree(slot).exists():
            shutil.rmtree(self.tree(slot))
        self.stamp(slot, NOTHING)

    def name(self, slot: Slot, label: Label) -> None:
        self.require_idle(slot)
        with room_explained(self.folder), replacing(self.tree(slot)) as fresh:
            unpack(self.place(slot, "payload"), fresh)
        super().name(slot, label)


class AppHost(RestartHost):
    """`Host` for applications: the launcher starts the other one when this process ends."""

    def __init__(self, slots: AppSlots, running: Slot, restart: Callable[[], None]) -> None:
        super().__init__(running, restart)
        self._slots = slots

    def prove(self, slot: Slot, label: Label) -> None:
        """Does it start here at all?"""
        program = self._slots.tree(slot) / PROGRAM
        try:
            done = subprocess.run(
                [program, "edge", "--help"],
                capture_output=True,
                text=True,
                check=False,
                timeout=PROVE_S,
                env={**os.environ, SLOT_VARIABLE: slot},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UpdateError(
                f"{label.path} does not start here ({error})", fix="build it for this hardware"
            ) from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UpdateError(
                f"{label.path} does not start here: {last[:200]}", fix="build it for this hardware"
            )


def unpack(archive: Path, folder: Path) -> None:
    """A tar file packed by zstd; only what stays inside the folder is taken.

    Raises UpdateError for one that can't be unpacked.
    """
    folder.mkdir(parents=True)
    left = LARGEST
    try:
        with archive.open("rb") as packed:
            reader = zstandard.ZstdDecompressor().stream_reader(packed)
            with tarfile.open(fileobj=io.BufferedReader(reader), mode="r|") as tar:
                for member in tar:
                    left -= member.size
                    if left < 0:
                        raise UpdateError(
                            f"it unpacks to more than {LARGEST} B", fix="build a smaller one"
                        )
                    tar.extract(member, folder, filter="data")
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise UpdateError(f"it can't be unpacked ({error})", fix="publish it again") from error
