"""Files in memory that remember their writes, and what a power cut could leave of them.

An `edge.updates.disk.DurableFiles`: code that writes through one is recorded unchanged. Names and
contents are separate, as on a disk: a file that was renamed before its content was flushed may
be there under its new name, and empty. The names of all files are one value: file systems keep
changes to them in order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from edge.updates.fakes import MemoryDisk
from tests.support.crash_states import USUAL, Coverage, CrashState, Effort, Ledger

SECTOR = 512
LENGTH = -1
NAMES = (-1, 0)

# A file by the order of its creation, and its sector by number, or LENGTH; or NAMES.
Place = tuple[int, int]


class RecordingDisk:
    """Behaves as `MemoryDisk` until the power is cut.

    before    what is on the disk at first, flushed
    torn_at   bytes within a sector at which a write may also be torn; disks promise that there are
              none
    """

    def __init__(self, before: MemoryDisk | None = None, torn_at: tuple[int, ...] = ()) -> None:
        self._now = MemoryDisk()
        self._numbers: dict[Path, int] = {}
        self._births = 0
        initial: dict[Place, bytes] = {}
        for path, content in (before.files if before else {}).items():
            self._now.write(path, 0, bytes(content))
            self._born(path)
            initial |= dict(self._places(path))
        initial[NAMES] = self._names()
        self._torn_at = torn_at
        self._ledger: Ledger[Place] = Ledger(initial, self._torn)

    def read(self, path: Path, offset: int = 0, length: int = -1) -> bytes:
        return self._now.read(path, offset, length)

    def size(self, path: Path) -> int:
        return self._now.size(path)

    def free(self, folder: Path) -> int:
        return self._now.free(folder)

    def write(self, path: Path, offset: int, data: bytes) -> None:
        before = dict(self._places(path)) if path in self._numbers else {}
        self._now.write(path, offset, data)
        self._changed(path, before)

    def overwrite(self, path: Path, data: bytes) -> None:
        before = dict(self._places(path)) if path in self._numbers else {}
        self._now.overwrite(path, data)
        self._changed(path, before)
        self.flush(path)

    def flush(self, path: Path) -> None:
        self._now.flush(path)
        self._ledger.flush(frozenset([NAMES, *dict(self._places(path))]))

    def rename(self, old: Path, new: Path) -> None:
        self._now.rename(old, new)
        self._numbers[new] = self._numbers.pop(old)
        self._ledger.write(NAMES, self._names())
        self._ledger.flush(frozenset([NAMES]))

    def remove(self, path: Path) -> None:
        if path in self._numbers:
            self._now.remove(path)
            del self._numbers[path]
            self._ledger.write(NAMES, self._names())
            self._ledger.flush(frozenset([NAMES]))

    def confirm(self) -> int:
        """Note that what was written is promised from here on; see `Ledger.confirm`."""
        return self._ledger.confirm()

    def crash_states(
        self, effort: Effort = USUAL, coverage: Coverage | None = None
    ) -> Iterator[CrashedDisk]:
        """What a power cut at any time could leave, each state once."""
        for state in self._ledger.states(effort, coverage):
            yield CrashedDisk(state)

    def _changed(self, path: Path, before: dict[Place, bytes]) -> None:
        if path not in self._numbers:
            self._born(path)
            self._ledger.write(NAMES, self._names())
        for place, value in self._places(path):
            if before.get(place) != value:
                self._ledger.write(place, value)

    def _torn(self, before: bytes, after: bytes) -> list[bytes]:
        if len(after) != SECTOR:
            # A length or the names: file systems write those through a journal of their own.
            return []
        old = before or bytes(SECTOR)
        return [after[:cut] + old[cut:] for cut in self._torn_at]

    def _born(self, path: Path) -> None:
        self._numbers[path] = self._births
        self._births += 1

    def _names(self) -> bytes:
        return json.dumps({str(path): n for path, n in self._numbers.items()}).encode()

    def _places(self, path: Path) -> Iterator[tuple[Place, bytes]]:
        number, content = self._numbers[path], self._now.read(path)
        yield (number, LENGTH), str(len(content)).encode()
        for start in range(0, len(content), SECTOR):
            yield (number, start // SECTOR), content[start : start + SECTOR].ljust(SECTOR, b"\0")


class CrashedDisk:
    """Files as a power cut left them."""

    def __init__(self, state: CrashState[Place]) -> None:
        self._state = state

    @property
    def confirmed(self) -> int:
        """How many confirmations had been given at most: so many promises must hold."""
        return self._state.confirmed

    def restored(self) -> MemoryDisk:
        """The disk after the power is back."""
        disk = MemoryDisk()
        names: dict[str, int] = json.loads(self._state.get(NAMES) or b"{}")
        for path, number in names.items():
            length = int(self._state.get((number, LENGTH)) or 0)
            sectors = (self._state.get((number, n)) for n in range(-(-length // SECTOR)))
            content = b"".join(sector or bytes(SECTOR) for sector in sectors)
            disk.write(Path(path), 0, content[:length])
        return disk
