"""Disk images: two raw partitions, of which the boot script starts the one that the record names.

Patch, label and memo lie on the data partition; the payload goes straight into the partition that
is not in use.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.updates.base import Label, Stuff
from edge.updates.disk import DurableFiles
from edge.updates.hosts.applications import NOTHING
from edge.updates.hosts.restart import RestartHost
from edge.updates.slots import FolderSlots, room_explained
from shared.errors import UpdateError
from shared.storage.disks import RUNNING_SLOT, SectorPair
from shared.storage.slots import SLOTS, Slot
from shared.storage.twin import Twin

SUFFIX = ".sqfs"
SQUASHFS = b"hsqs"
REBOOT_S = 60.0


class BlockFile:
    """A partition, or a file that stands for one; a `shared.storage.disks.RawDisk`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def size(self) -> int:
        with self._path.open("rb") as stream:
            return stream.seek(0, os.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        with self._path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    def write(self, offset: int, data: bytes) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        with os.fdopen(handle, "wb") as stream:
            stream.seek(offset)
            stream.write(data)

    def flush(self) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class ImageSlots(FolderSlots):
    """`Slots` whose payloads lie on partitions."""

    def __init__(
        self, disk: DurableFiles, folder: Path, record: Path, partitions: dict[Slot, Path]
    ) -> None:
        """record: the partition with the boot record; folder: for all that is no payload"""
        super().__init__(disk, folder, SUFFIX, Twin(SectorPair(BlockFile(record), 0)))
        self._partitions = {slot: BlockFile(partitions[slot]) for slot in SLOTS}

    def discard(self, slot: Slot) -> None:
        super().discard(slot)
        self.stamp(slot, NOTHING)

    def lacks(self, payload: int, patch: int, reserve: int) -> int:
        smaller = min(one.size for one in self._partitions.values())
        return max(payload - smaller, super().lacks(0, patch, reserve), 0)

    def kept(self, slot: Slot, what: Stuff) -> int:
        return self._partitions[slot].size if what == "payload" else super().kept(slot, what)

    def write(self, slot: Slot, what: Stuff, offset: int, data: bytes) -> None:
        if what == "delta":
            super().write(slot, what, offset, data)
            return
        self.require_idle(slot)
        self.put(slot, offset, data)
        self.flush(slot)

    def has_length(self, slot: Slot, what: Stuff, length: int) -> bool:
        kept = self.kept(slot, what)
        return kept >= length if what == "payload" else kept == length

    def read(self, slot: Slot, what: Stuff, offset: int, length: int) -> bytes:
        if what == "delta":
            return super().read(slot, what, offset, length)
        return self._partitions[slot].read(offset, length)

    def base(self, slot: Slot) -> bytes:
        label = self.held(slot)
        if label is None:
            raise UpdateError("there is nothing to patch", fix="it is fetched whole")
        return self._partitions[slot].read(0, label.length)

    def put(self, slot: Slot, offset: int, data: bytes) -> None:
        if offset + len(data) > self._partitions[slot].size:
            raise UpdateError("the image is larger than its slot", fix="build a smaller one")
        with room_explained(self.folder):
            self._partitions[slot].write(offset, data)

    def flush(self, slot: Slot) -> None:
        self._partitions[slot].flush()


class ImageHost(RestartHost):
    """`Host` for disk images: the boot script takes the tries."""

    def __init__(self, slots: ImageSlots, running: Slot, restart: Callable[[], None]) -> None:
        super().__init__(running, restart)
        self._slots = slots

    def prove(self, slot: Slot, label: Label) -> None:
        if self._slots.read(slot, "payload", 0, len(SQUASHFS)) != SQUASHFS:
            raise UpdateError(
                f"{label.path} is no squashfs", fix="publish what `fleet image build` made"
            )


def running_slot(path: Path = Path(RUNNING_SLOT)) -> Slot:
    """The one that the boot script made the root. Raises UpdateError where it did not say."""
    try:
        said = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UpdateError(
            f"{path} does not say which image runs ({error})",
            fix="leave `updates.image` out on a machine that was not flashed",
        ) from error
    for slot in SLOTS:
        if said == slot:
            return slot
    raise UpdateError(f"{path} says {said[:20]!r}, not a or b", fix="flash the card again")


def rebooting(command: Sequence[str]) -> Callable[[], None]:
    """Asks the machine to start again."""

    def reboot() -> None:
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=REBOOT_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise UpdateError(
                f"{' '.join(command)} failed ({error})", fix="let the agent's user restart the box"
            ) from error

    return reboot
