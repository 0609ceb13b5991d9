"""Every seam of an update in memory: for tests, simulations and dry runs."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.updates.base import Label, Offer, Opinion, Unreachable, Vitals
from shared.errors import SplitsightError, UpdateError
from shared.storage.slots import Slot


class MemoryDisk:
    """A `Disk` of limited size; everything written is durable at once."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.files: dict[Path, bytearray] = {}
        self.capacity = capacity

    def read(self, path: Path, offset: int = 0, length: int = -1) -> bytes:
        content = self._content(path)
        return bytes(content[offset:] if length < 0 else content[offset : offset + length])

    def size(self, path: Path) -> int:
        return len(self._content(path))

    def write(self, path: Path, offset: int, data: bytes) -> None:
        present = self.files.get(path, bytearray())
        kept = present[:offset].ljust(offset, b"\0")
        if len(kept) + len(data) - len(present) > self.free(path.parent):
            raise OSError(errno.ENOSPC, "no space left on device")
        self.files[path] = kept + data

    def overwrite(self, path: Path, data: bytes) -> None:
        self.files[path] = bytearray(data) + self.files.get(path, bytearray())[len(data) :]

    def flush(self, path: Path) -> None:
        self._content(path)

    def rename(self, old: Path, new: Path) -> None:
        self.files[new] = self._content(old)
        del self.files[old]

    def remove(self, path: Path) -> None:
        self.files.pop(path, None)

    def free(self, folder: Path) -> int:
        del folder  # one disk for all
        return self.capacity - sum(map(len, self.files.values()))

    def _content(self, path: Path) -> bytearray:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self.files[path]


@dataclass
class KnownOffers:
    """Offers by target; `failure` is raised instead while it is set."""

    offers: dict[str, Offer] = field(default_factory=dict)
    failure: SplitsightError | None = None

    def offer(self, path: str, base: str) -> Offer:
        del base  # whoever fills `offers` knows what is live
        if self.failure is not None:
            raise self.failure
        if path not in self.offers:
            raise UpdateError(f"{path} is not offered", fix="offer it")
        return self.offers[path]


@dataclass
class MemorySource:
    """Payloads by URL. `reachable` False: the network is away; `asked` counts the ranges."""

    payloads: Mapping[str, bytes]
    reachable: bool = True
    asked: int = 0

    def read(self, url: str, offset: int, length: int) -> bytes:
        self.asked += 1
        if not self.reachable or url not in self.payloads:
            raise Unreachable(f"{url} can't be reached", fix="it is tried again later")
        return self.payloads[url][offset : offset + length]


@dataclass
class ScriptedHost:
    """Does as it is told. `switched` lists every switch, in order.

    restarts   a switch happens with the next start only, as for an application
    """

    now: Slot = "a"
    tries: int = 1
    restarts: bool = False
    unfit: str = ""
    opinion: Opinion = field(default_factory=lambda: Opinion(done=True))
    health: Vitals = field(default_factory=lambda: Vitals(parts=1))
    switched: list[Slot] = field(default_factory=list)

    def running(self) -> Slot:
        return self.now

    def prove(self, slot: Slot, label: Label) -> None:
        del slot, label
        if self.unfit:
            raise UpdateError(self.unfit, fix="build another release")

    def shadow(self, slot: Slot, parts: int) -> None:
        pass

    def shadowed(self) -> Opinion:
        return self.opinion

    def switch(self, slot: Slot) -> None:
        self.switched.append(slot)
        if not self.restarts:
            self.now = slot

    def vitals(self) -> Vitals:
        return self.health

    def rest(self) -> None:
        pass
