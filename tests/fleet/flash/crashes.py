"""A small card on the crash-consistent device, and what would boot from any of its states."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.updates.base import Label
from edge.updates.fakes import MemoryDisk
from edge.updates.hosts.images import SUFFIX, BlockFile, ImageSlots
from edge.updates.slots import FolderSlots
from fleet.flash.card import Card, Span
from fleet.flash.gpt import ESP_TYPE, LINUX_TYPE, RECORD_TYPE, Partition, Table, parse
from shared.errors import UpdateError
from shared.storage.disks import (
    BOOT_LABEL,
    DATA_LABEL,
    RECORD_BYTES,
    RECORD_LABEL,
    ROOT_LABELS,
    SECTOR,
    RawDisk,
    SectorPair,
)
from shared.storage.slots import SLOTS, Slot, SlotRecord, other
from shared.storage.twin import Twin, TwinCopies
from tests.support.block_device import RecordingDevice

MIB = 1 << 20
SIZE = 12 * MIB
BOOT_SECTORS = 6
ROOT_SECTORS = 16
CHUNK = 8 * SECTOR
# A disk promises whole sectors; these cuts are what a bad one does all the same.
TORN_AT = (40, 300)


class Readable(Protocol):
    """A device, running or crashed."""

    size: int

    def read(self, offset: int, length: int) -> bytes: ...


def content(name: str, sectors: int) -> bytes:
    """Different in every sector, so that a lost one shows."""
    return b"".join(
        hashlib.shake_128(f"{name} {number}".encode()).digest(SECTOR) for number in range(sectors)
    )


@dataclass(frozen=True, slots=True)
class System:
    """What one image consists of."""

    name: str

    @property
    def boot(self) -> bytes:
        return content(f"{self.name} boot", BOOT_SECTORS)

    @property
    def root(self) -> bytes:
        return content(f"{self.name} root", ROOT_SECTORS)


def table(shift: int = 0) -> Table:
    """Boot, record, two slots and data; `shift` in sectors makes it another layout."""
    sizes = [
        (BOOT_LABEL, ESP_TYPE, BOOT_SECTORS * SECTOR),
        (RECORD_LABEL, RECORD_TYPE, RECORD_BYTES),
        (ROOT_LABELS["a"], LINUX_TYPE, ROOT_SECTORS * SECTOR),
        (ROOT_LABELS["b"], LINUX_TYPE, ROOT_SECTORS * SECTOR),
        (DATA_LABEL, LINUX_TYPE, MIB),
    ]
    start, partitions = MIB + shift * SECTOR, []
    for label, kind, size in sizes:
        unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{label} {shift}")
        partitions.append(Partition(label, kind, unique, start, size))
        start += size
    return Table(uuid.uuid5(uuid.NAMESPACE_OID, f"disk {shift}"), tuple(partitions))


def card(system: System, folder: Path, shift: int = 0) -> Card:
    """What the flasher gets to write."""
    layout = table(shift)
    boot, root = folder / f"{system.name}.boot", folder / f"{system.name}.root"
    boot.write_bytes(system.boot)
    root.write_bytes(system.root)
    return Card(
        system.name,
        layout,
        layout.named(DATA_LABEL).end + MIB,
        (Span(layout.named(ROOT_LABELS["a"]).start, len(system.root), root, 0),),
        (Span(layout.named(BOOT_LABEL).start, len(system.boot), boot, 0),),
    )


def boots(disk: Readable, systems: list[System]) -> str:
    """What a machine does with this disk: the name of the system that it starts, whole; `nothing`
    where it stops before that and says so; else what is wrong with what it would start."""
    found = parse(disk.read, disk.size)
    if found is None:
        return "nothing"
    roots = {system.root: system.name for system in systems}
    loaders = {system.boot for system in systems}
    boot, record = found.named(BOOT_LABEL), found.named(RECORD_LABEL)
    if disk.read(boot.start, BOOT_SECTORS * SECTOR) not in loaders:
        return "a broken boot loader"
    copy = Twin(SectorPair(ReadOnly(disk), record.start)).read()
    if copy is None:
        return "nothing"
    slots = SlotRecord.from_fields(copy.fields)

    def system_in(slot: Slot) -> str:
        place = found.named(ROOT_LABELS[slot])
        return roots.get(disk.read(place.start, place.size), "")

    if not system_in(slots.live):
        return f"a live slot {slots.live} that is broken"
    slot, _ = slots.booted()
    return system_in(slot) or f"a trial slot {slot} that is broken"


class ReadOnly:
    """A crashed device as a Disk."""

    def __init__(self, disk: Readable) -> None:
        self.size = disk.size
        self.read = disk.read

    def write(self, offset: int, data: bytes) -> None:
        raise AssertionError(f"{len(data)} B written at {offset} of what is only looked at")

    def flush(self) -> None:
        """There is nothing to flush."""


class Forgetful:
    """A mutant: a disk whose flushes do nothing."""

    def __init__(self, disk: RawDisk) -> None:
        self.size, self.read, self.write = disk.size, disk.read, disk.write

    def flush(self) -> None:
        """Not done."""


class InPlace:
    """A mutant: a record that is rewritten where it lies."""

    def __init__(self, disk: RawDisk, start: int) -> None:
        self._pair = SectorPair(disk, start)

    def read(self, place: int) -> bytes:
        return b"" if place else self._pair.read(0)

    def write(self, place: int, raw: bytes) -> None:
        del place
        self._pair.write(0, raw)


PairOf = Callable[[RawDisk, int], TwinCopies]


class Window(BlockFile):
    """A partition of a disk, in place of a device file."""

    def __init__(self, disk: RawDisk, partition: Partition) -> None:
        super().__init__(Path(partition.label))
        self._disk = disk
        self._partition = partition

    @property
    def size(self) -> int:
        return self._partition.size

    def read(self, offset: int, length: int) -> bytes:
        return self._disk.read(self._partition.start + offset, length)

    def write(self, offset: int, data: bytes) -> None:
        self._disk.write(self._partition.start + offset, data)

    def flush(self) -> None:
        self._disk.flush()


class DiskSlots(ImageSlots):
    """The device's own slots, over partitions of a disk in memory."""

    def __init__(self, disk: RawDisk, layout: Table, pair: PairOf = SectorPair) -> None:
        record = layout.named(RECORD_LABEL).start
        FolderSlots.__init__(self, MemoryDisk(), Path("/updates"), SUFFIX, Twin(pair(disk, record)))
        self._partitions = {slot: Window(disk, layout.named(ROOT_LABELS[slot])) for slot in SLOTS}


def update(slots: DiskSlots, system: System, after: Callable[[], object]) -> None:
    """An image update from its first byte to its commit, with the boot in between."""
    live = slots.marked().record.live
    slot = other(live)
    try:
        slots.discard(slot)
    except UpdateError as error:
        raise AssertionError(f"slot {slot} is not free: {error}") from error
    for offset in range(0, len(system.root), CHUNK):
        slots.write(slot, "payload", offset, system.root[offset : offset + CHUNK])
    digest = hashlib.sha256(system.root).hexdigest()
    slots.name(slot, Label("firmware/image/x/2.sqfs", len(system.root), digest, 2))
    slots.mark(slots.marked().record.tried(slot, 2))
    assert slots.booted() == slot
    slots.mark(slots.marked().record.committed())
    after()


def blank(initial: bytes = b"") -> RecordingDevice:
    return RecordingDevice(SIZE, initial=initial, torn_at=TORN_AT)
