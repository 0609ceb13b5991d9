"""Where what lies on a disk: boot, record, two root slots, data."""

from __future__ import annotations

import uuid
from dataclasses import replace

from fleet.flash.gpt import ESP_TYPE, LINUX_TYPE, RECORD_TYPE, TAIL_SECTORS, Partition, Table
from shared.errors import DeviceRefused
from shared.storage.disks import (
    BOOT_LABEL,
    DATA_LABEL,
    RECORD_BYTES,
    RECORD_LABEL,
    ROOT_LABELS,
    SECTOR,
)

MIB = 1 << 20
FIRST = MIB
BOOT_BYTES = 160 * MIB
MIN_SLOT_BYTES = 256 * MIB
# A model of 8 MB beside the live one, a patch, and what the journal may take: half of what is free.
DATA_BYTES = 512 * MIB
# A slot is half as large again as what it holds: an update may grow.
ROOM = 1.5
_NAMES = uuid.UUID("7f6b2c1e-6c0e-4b7e-9d3a-2f1f6a0d51c4")


def slot_bytes(content: int) -> int:
    """Size of a root slot for a file system of `content` bytes."""
    return max(MIN_SLOT_BYTES, _up(int(content * ROOM), 64 * MIB))


def plan(slot: int, identity: str) -> tuple[Table, int]:
    """The table of an image and the image's size.

    slot      bytes of each root slot
    identity  what tells this image from others; the partitions' identifiers come from it
    """
    sizes = [
        (BOOT_LABEL, ESP_TYPE, BOOT_BYTES),
        (RECORD_LABEL, RECORD_TYPE, RECORD_BYTES),
        *((label, LINUX_TYPE, slot) for label in ROOT_LABELS.values()),
        (DATA_LABEL, LINUX_TYPE, DATA_BYTES),
    ]
    start, partitions = FIRST, []
    for label, kind, size in sizes:
        unique = uuid.uuid5(_NAMES, f"{identity} {label}")
        partitions.append(Partition(label, kind, unique, start, size))
        start += size
    table = Table(uuid.uuid5(_NAMES, identity), tuple(partitions))
    return table, start + MIB


def grown(table: Table, size: int) -> Table:
    """The same table on a disk of `size` bytes: the data partition takes what is left.

    Raises DeviceRefused for a disk that is too small.
    """
    data = table.named(DATA_LABEL)
    end = (size - TAIL_SECTORS * SECTOR) // MIB * MIB
    if end < data.end:
        raise DeviceRefused(
            f"a disk of {size / 1e9:.2f} GB is too small: the image needs "
            f"{(data.end + MIB) / 1e9:.2f} GB",
            fix="use a larger one",
        )
    larger = replace(data, size=end - data.start)
    return replace(
        table, partitions=tuple(larger if p.label == DATA_LABEL else p for p in table.partitions)
    )


def _up(size: int, step: int) -> int:
    return -(-size // step) * step
