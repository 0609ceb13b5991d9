"""A device that updates itself on a bench: disk, power, network and clock are the test's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import zstandard

from edge.updates.base import Label, Offer, Patch, UpdateProgress, Wanted
from edge.updates.disk import DurableFiles
from edge.updates.fakes import KnownOffers, MemoryDisk, MemorySource, ScriptedHost
from edge.updates.progress import Memo
from edge.updates.slots import FolderSlots
from edge.updates.state_machine import UpdateMachine
from shared.clock import ManualClock
from shared.storage.slots import Slot, SlotRecord

FOLDER = Path("/data/updates/model")
OLD, NEW = "models/m/1.zip", "models/m/2.zip"
HEALTH_S = 30.0
STEPS = 5000


def content(seed: int, length: int = 6000) -> bytes:
    """Bytes that look random and are the same each time."""
    blocks = (hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range(-(-length // 32)))
    return b"".join(blocks)[:length]


def label_of(path: str, payload: bytes, counter: int, name: str = "m") -> Label:
    return Label(path, len(payload), hashlib.sha256(payload).hexdigest(), counter, name=name)


def patch_of(base: bytes, payload: bytes) -> bytes:
    dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(dict_data=dictionary).compress(payload)


OLD_PAYLOAD = content(1)
NEW_PAYLOAD = OLD_PAYLOAD[:3000] + content(2, 3500)


@dataclass
class Bench:
    """One kind of release on one device. `start` is what a process does when it begins.

    wrap   puts something between the machine and a seam: (name, seam) → seam
    """

    disk: DurableFiles = field(default_factory=MemoryDisk)
    host: ScriptedHost = field(default_factory=ScriptedHost)
    clock: ManualClock = field(default_factory=ManualClock)
    wrap: Callable[[str, Any], Any] = lambda _name, seam: seam
    wanted: Wanted = field(default_factory=lambda: Wanted(1, NEW, health_s=HEALTH_S))
    reserve: int = 0

    def __post_init__(self) -> None:
        self.offers = KnownOffers()
        self.payloads: dict[str, bytes] = {}
        self.source = MemorySource(self.payloads)
        self.offer(NEW, NEW_PAYLOAD, 2)

    def offer(
        self, path: str, payload: bytes, counter: int, base: bytes | None = None, name: str = "m"
    ) -> None:
        """Publish a release; with `base` there is a patch as well."""
        url = f"http://gateway/{path}"
        self.payloads[url] = payload
        patch = None
        if base is not None:
            raw = patch_of(base, payload)
            patch = Patch(f"{url}.zst", len(raw), hashlib.sha256(raw).hexdigest())
            self.payloads[patch.url] = raw
        self.offers.offers[path] = Offer(label_of(path, payload, counter, name), url, patch)

    def install(self, path: str = OLD, payload: bytes = OLD_PAYLOAD, counter: int = 1) -> None:
        """As if an earlier update had put it into slot a."""
        slots = FolderSlots(self.disk, FOLDER, ".zip")
        slots.mark(SlotRecord("b"))
        slots.write("a", "payload", 0, payload)
        slots.name("a", label_of(path, payload, counter))
        slots.mark(SlotRecord("a"))

    def start(self) -> None:
        self.slots = FolderSlots(self.disk, FOLDER, ".zip")
        self.host.now = self.slots.booted()
        self.machine = UpdateMachine(
            "model",
            slots=self.wrap("slots", self.slots),
            host=self.wrap("host", self.host),
            offers=self.wrap("offers", self.offers),
            source=self.wrap("source", self.source),
            memo=self.wrap("memo", Memo(self.disk, FOLDER / "memo.json")),
            clock=self.clock,
            reserve=self.reserve,
        )
        self.machine.want(self.wanted)

    def want(self, **changed: Any) -> None:
        self.wanted = replace(self.wanted, **changed)
        self.machine.want(self.wanted)

    def step(self) -> None:
        self.clock.advance(self.machine.step())

    def run(self) -> None:
        """Until nothing would change any more."""
        for _ in range(STEPS):
            wait = self.machine.step()
            if self.progress.phase == "idle" and wait >= 3600:
                return
            self.clock.advance(max(wait, 0.1))
        raise AssertionError(f"still {self.progress} after {STEPS} steps")

    def run_to(self, phase: str) -> None:
        for _ in range(STEPS):
            if self.progress.phase == phase:
                return
            self.step()
        raise AssertionError(f"never {phase}, but {self.progress}")

    @property
    def progress(self) -> UpdateProgress:
        return self.machine.progress

    @property
    def live(self) -> str:
        """What runs for good, checked: its payload is on the disk as it was signed."""
        return live_on(self.disk)


def live_on(disk: DurableFiles) -> str:
    """The target that the record makes live. Raises AssertionError for anything in between."""
    slots = FolderSlots(disk, FOLDER, ".zip")
    record = slots.marked().record
    return path_in(slots, record.live)


def path_in(slots: FolderSlots, slot: Slot) -> str:
    label = slots.held(slot)
    if label is None:
        return ""
    found = hashlib.sha256(slots.disk.read(slots.payload(slot))).hexdigest()
    assert found == label.sha256, f"slot {slot} says {label.path} and holds something else"
    return label.path


class Killed(BaseException):
    """The process ends here: no `except Exception` may stop it."""


class KillingDisk:
    """A disk that ends the process before or after its n-th change, counted from 0.

    changes   every change so far, in words
    """

    def __init__(self, inner: MemoryDisk, at: int = -1, *, after: bool = False) -> None:
        self.inner = inner
        self._at = at
        self._after = after
        self.changes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in {"write", "overwrite", "flush", "rename", "remove"}:
            return method

        def counted(path: Path, *rest: Any) -> None:
            number = len(self.changes)
            self.changes.append(f"{name} {path.name}")
            if number == self._at and not self._after:
                raise Killed
            method(path, *rest)
            if number == self._at and self._after:
                raise Killed

        return counted


class Failing:
    """A seam whose n-th call, counted from 0, raises. `calls` lists them all by name."""

    def __init__(self, inner: Any, at: int = -1, error: BaseException | None = None) -> None:
        self._inner = inner
        self._at = at
        self._error = error
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if number == self._at and self._error is not None:
                raise self._error
            return found(*arguments)

        return call


def phases_of(bench: Bench) -> Iterator[str]:
    """Every phase that a run goes through, in order, once each time it is entered."""
    last = ""
    for _ in range(STEPS):
        if bench.progress.phase != last:
            last = bench.progress.phase
            yield last
        wait = bench.machine.step()
        if bench.progress.phase == "idle" and wait >= 3600:
            break
        bench.clock.advance(max(wait, 0.1))
