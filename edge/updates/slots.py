"""Two slots as files in a folder: for models, and the base of the other kinds.

record.0, record.1   which slot is live (`shared.storage.twin`)
a.zip, b.zip         payloads
b.part, b.delta      half-written; never run
a.json, b.json       what a slot holds: written last, removed first
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edge.updates.base import Label, Stuff, VersionedRecord
from edge.updates.disk import DiskPair, DurableFiles, replace
from edge.updates.patch import apply_patch
from shared.errors import UpdateError
from shared.storage.slots import Slot, SlotRecord, other
from shared.storage.twin import Twin

BLOCK = 1 << 20
RECORD = "record"


class FolderSlots:
    """`Slots` of one kind in one folder."""

    def __init__(
        self, disk: DurableFiles, folder: Path, suffix: str, twin: Twin | None = None
    ) -> None:
        """suffix: of the payloads; twin: the record where it does not lie in the folder."""
        self.disk = disk
        self.folder = folder
        self._suffix = suffix
        self._twin = twin or Twin(DiskPair(disk, folder, RECORD))

    def marked(self) -> VersionedRecord:
        copy = self._twin.read()
        if copy is None:
            return VersionedRecord(SlotRecord(), 0)
        return VersionedRecord(SlotRecord.from_fields(copy.fields), copy.sequence)

    def mark(self, record: SlotRecord) -> None:
        self._twin.write(record.to_fields())

    def booted(self) -> Slot:
        """What to start now, its try taken. Call once a start, before anything of a slot runs."""
        record = self.marked().record
        slot, after = record.booted()
        if after != record:
            self.mark(after)
        return slot

    def payload(self, slot: Slot) -> Path:
        """Where the payload lies once it is named."""
        return self.folder / f"{slot}{self._suffix}"

    def held(self, slot: Slot) -> Label | None:
        try:
            label = msgspec.json.decode(self.disk.read(self._label(slot)), type=Label)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return label

    def lacks(self, payload: int, patch: int, reserve: int) -> int:
        return max(0, payload + patch + reserve - self.disk.free(self.folder))

    def discard(self, slot: Slot) -> None:
        self.require_idle(slot)
        self.disk.remove(self._label(slot))
        self.disk.remove(self._part(slot))
        self.disk.remove(self._delta(slot))
        self.disk.remove(self.payload(slot))

    def kept(self, slot: Slot, what: Stuff) -> int:
        try:
            return self.disk.size(self.place(slot, what))
        except FileNotFoundError:
            return 0

    def write(self, slot: Slot, what: Stuff, offset: int, data: bytes) -> None:
        self.require_idle(slot)
        path = self._part(slot) if what == "payload" else self._delta(slot)
        with room_explained(self.folder):
            self.disk.write(path, offset, data)
            self.disk.flush(path)

    def digest(self, slot: Slot, what: Stuff, length: int) -> str:
        if not self.has_length(slot, what, length):
            return ""
        digest = hashlib.sha256()
        for offset in range(0, length, BLOCK):
            digest.update(self.read(slot, what, offset, min(BLOCK, length - offset)))
        return digest.hexdigest()

    def has_length(self, slot: Slot, what: Stuff, length: int) -> bool:
        return self.kept(slot, what) == length

    def read(self, slot: Slot, what: Stuff, offset: int, length: int) -> bytes:
        """What was written so far."""
        return self.disk.read(self.place(slot, what), offset, length)

    def patch(self, slot: Slot, length: int) -> None:
        self.require_idle(slot)
        base = self.base(other(slot))
        patch = self.disk.read(self._delta(slot))
        offset = 0
        with room_explained(self.folder):
            for piece in apply_patch(base, patch, length):
                self.put(slot, offset, piece)
                offset += len(piece)
            self.flush(slot)

    def name(self, slot: Slot, label: Label) -> None:
        self.require_idle(slot)
        if self._has(self._part(slot)):
            self.disk.rename(self._part(slot), self.payload(slot))
        self.stamp(slot, label)
        self.disk.remove(self._delta(slot))

    def stamp(self, slot: Slot, label: Label) -> None:
        """From here on this is what the slot is said to hold."""
        with room_explained(self.folder):
            replace(self.disk, self._label(slot), msgspec.json.encode(label))

    def put(self, slot: Slot, offset: int, data: bytes) -> None:
        self.disk.write(self._part(slot), offset, data)

    def flush(self, slot: Slot) -> None:
        self.disk.flush(self._part(slot))

    def base(self, slot: Slot) -> bytes:
        """The payload that a patch starts from. Raises UpdateError where there is none."""
        try:
            return self.disk.read(self.payload(slot))
        except FileNotFoundError as error:
            raise UpdateError("there is nothing to patch", fix="it is fetched whole") from error

    def place(self, slot: Slot, what: Stuff) -> Path:
        if what == "delta":
            return self._delta(slot)
        # Named already where a kill came between the name and the memo.
        return self._part(slot) if self._has(self._part(slot)) else self.payload(slot)

    def _has(self, path: Path) -> bool:
        try:
            self.disk.size(path)
        except FileNotFoundError:
            return False
        return True

    def _part(self, slot: Slot) -> Path:
        return self.folder / f"{slot}.part"

    def _delta(self, slot: Slot) -> Path:
        return self.folder / f"{slot}.delta"

    def _label(self, slot: Slot) -> Path:
        return self.folder / f"{slot}.json"

    def require_idle(self, slot: Slot) -> None:
        """Raises UpdateError for a slot that is live or on trial."""
        record = self.marked().record
        if slot in {record.live, record.trial}:
            raise UpdateError(f"slot {slot} is in use", fix="it is left as it is")


@contextmanager
def room_explained(folder: Path) -> Iterator[None]:
    """A full disk in words."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise UpdateError(
            f"the disk of {folder.name} is full", fix="free disk space, or make the journal smaller"
        ) from error
