"""The disk of a device that was flashed: its partitions, and the record that says what to boot.

The flasher (`fleet.flash`), the agent that updates the image (`edge.updates`) and the boot script
(`fleet/flash/files/splitsight-slot`) agree on this page.
"""

from __future__ import annotations

from typing import Protocol

from shared.storage.slots import Slot
from shared.storage.twin import SIZE

SECTOR = 512
BY_LABEL = "/dev/disk/by-partlabel"
BOOT_LABEL = "splitsight-boot"
RECORD_LABEL = "splitsight-record"
ROOT_LABELS: dict[Slot, str] = {"a": "splitsight-root-a", "b": "splitsight-root-b"}
DATA_LABEL = "splitsight-data"

RECORD_PLACES = (0, 4 << 20)
"""Bytes from the start of the record's partition: in two erase blocks of a card."""
RECORD_BYTES = 8 << 20

RUNNING_SLOT = "/run/splitsight/slot"
"""Where the boot script writes which slot became the root."""


class RawDisk(Protocol):
    """A raw disk, or a file that stands for one. Offsets and sizes in bytes."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes; fewer at the end. Raises OSError."""

    def write(self, offset: int, data: bytes) -> None:
        """Into the cache; in any order until the next flush. Raises OSError."""

    def flush(self) -> None:
        """Returns when what was written would survive a power cut. Raises OSError."""


class SectorPair:
    """The two copies of a twin record on a disk; a `shared.storage.twin.TwinCopies`."""

    def __init__(self, disk: RawDisk, start: int, places: tuple[int, int] = RECORD_PLACES) -> None:
        """start: of the record's partition; places: of the copies, from there"""
        self._disk = disk
        self._offsets = tuple(start + place for place in places)

    def read(self, place: int) -> bytes:
        return self._disk.read(self._offsets[place], SIZE)

    def write(self, place: int, raw: bytes) -> None:
        self._disk.write(self._offsets[place], raw)
        self._disk.flush()
