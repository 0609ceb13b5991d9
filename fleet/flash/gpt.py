"""GUID partition tables as bytes (UEFI specification 2.10, chapter 5): made, read, checked.

Debian's tools write a table in an order of their own; the flasher has to choose it, so that a power
cut leaves either no table or a whole one.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.storage.disks import SECTOR

ENTRIES = 128
ENTRY = struct.Struct("<16s16sQQQ72s")
HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
ARRAY_SECTORS = ENTRIES * ENTRY.size // SECTOR
HEAD_SECTORS = 2 + ARRAY_SECTORS
TAIL_SECTORS = 1 + ARRAY_SECTORS
_SIGNATURE = b"EFI PART"
_REVISION = 0x00010000

ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX_TYPE = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
RECORD_TYPE = uuid.UUID("0b8d6d3c-56b1-4f1b-9f0f-6d5d6b1f7a10")

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Partition:
    """start, size: bytes, multiples of SECTOR"""

    label: str
    type: uuid.UUID
    unique: uuid.UUID
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Table:
    """What a disk holds. `disk`: its own identifier."""

    disk: uuid.UUID
    partitions: tuple[Partition, ...]

    def named(self, label: str) -> Partition:
        """Raises KeyError where there is none."""
        for partition in self.partitions:
            if partition.label == label:
                return partition
        raise KeyError(label)


def head(table: Table, size: int) -> bytes:
    """The first HEAD_SECTORS of a disk of `size` bytes: protective MBR, header, entries."""
    array = _array(table.partitions)
    return _protective(size) + _header(table, size, array, primary=True) + array


def tail(table: Table, size: int) -> bytes:
    """The last TAIL_SECTORS: entries, then the backup's header."""
    array = _array(table.partitions)
    return array + _header(table, size, array, primary=False)


def parse(read: Read, size: int) -> Table | None:
    """The primary table where it is whole, else the backup, else None: as firmware does."""
    for at in (1, size // SECTOR - 1):
        table = _parse_at(read, at)
        if table is not None:
            return table
    return None


def _parse_at(read: Read, at: int) -> Table | None:
    raw = read(at * SECTOR, SECTOR)
    if len(raw) < HEADER.size:
        return None
    signature, _, length, crc, _, mine, _, _, _, disk, array_at, count, step, array_crc = (
        HEADER.unpack_from(raw)
    )
    plain = raw[:16] + bytes(4) + raw[20:length]
    if signature != _SIGNATURE or mine != at or step != ENTRY.size or zlib.crc32(plain) != crc:
        return None
    array = read(array_at * SECTOR, count * step)
    if zlib.crc32(array) != array_crc:
        return None
    entries = (ENTRY.unpack_from(array, number * step) for number in range(count))
    return Table(
        uuid.UUID(bytes_le=disk),
        tuple(
            Partition(
                label=name.decode("utf-16-le").rstrip("\0"),
                type=uuid.UUID(bytes_le=kind),
                unique=uuid.UUID(bytes_le=unique),
                start=first * SECTOR,
                size=(last - first + 1) * SECTOR,
            )
            for kind, unique, first, last, _, name in entries
            if kind != bytes(16)
        ),
    )


def _array(partitions: Sequence[Partition]) -> bytes:
    packed = b"".join(
        ENTRY.pack(
            partition.type.bytes_le,
            partition.unique.bytes_le,
            partition.start // SECTOR,
            partition.end // SECTOR - 1,
            0,
            partition.label.encode("utf-16-le"),
        )
        for partition in partitions
    )
    return packed.ljust(ENTRIES * ENTRY.size, b"\0")


def _header(table: Table, size: int, array: bytes, *, primary: bool) -> bytes:
    last = size // SECTOR - 1
    here, there = (1, last) if primary else (last, 1)
    array_at = 2 if primary else last - ARRAY_SECTORS
    fields = (
        *(here, there, HEAD_SECTORS, last - TAIL_SECTORS, table.disk.bytes_le),
        *(array_at, ENTRIES, ENTRY.size, zlib.crc32(array)),
    )
    crc = zlib.crc32(HEADER.pack(_SIGNATURE, _REVISION, HEADER.size, 0, 0, *fields))
    return HEADER.pack(_SIGNATURE, _REVISION, HEADER.size, crc, 0, *fields).ljust(SECTOR, b"\0")


def _protective(size: int) -> bytes:
    """One MBR partition over everything, so that old tools keep their hands off."""
    sectors = min(size // SECTOR - 1, 0xFFFFFFFF)
    entry = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, sectors)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"
