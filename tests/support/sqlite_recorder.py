"""Records what SQLite does to its files, and rebuilds them as a power cut could have left them.

A thin layer over SQLite's own virtual file system, inside the very library that Python's `sqlite3`
uses: code that opens a database while it records is recorded unchanged.
Source: SQLite, "The OS Interface or VFS" and sqlite3.h (sqlite3_vfs, sqlite3_io_methods).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.errors import ProcessError
from tests.support.crash_states import USUAL, Coverage, CrashState, Effort, Ledger
from tests.support.sqlite_interface import (
    CLOSE,
    DELETE,
    OPEN,
    SYNC,
    TRUNCATE,
    WRITE,
    File,
    Methods,
    Vfs,
    sqlite_library,
)

SECTOR = 512
NAME = b"splitsight-recorder"
# They mean nothing after a power cut.
VOLATILE = ("-shm", ".lock")
OK, IOERR = 0, 10
OPEN_CREATE = 0x4
# Main journal, super-journal, write-ahead log.
OPEN_JOURNALS = 0x800 | 0x4000 | 0x80000
LENGTH = -1

# A file by its name and how often that was created, and its sector by number, or LENGTH.
Place = tuple[str, int, int]


class SqliteRecorder:
    """Records every database below one folder that this process opens while it is entered.

    Whatever was opened must be closed before it is left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock = threading.RLock()
        self._content: dict[str, bytearray] = {}
        self._births: dict[str, int] = {}
        self._sectors: dict[str, int] = {}
        self._open: dict[int, str] = {}
        self._gone: set[Place] = set()
        self._syncs_folder: set[int] = set()
        self._tables: dict[int, Methods] = {}
        self._failure: BaseException | None = None
        initial: dict[Place, bytes] = {}
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and not path.name.endswith(VOLATILE):
                self._content[path.name] = bytearray(path.read_bytes())
                self._births[path.name] = 0
                initial |= dict(self._initial(path.name))
        self._ledger: Ledger[Place] = Ledger(initial)
        self._library = sqlite_library()
        self._callbacks: list[Any] = []

    def __enter__(self) -> Self:
        self._original = Vfs.from_address(self._library.sqlite3_vfs_find(None))
        self._vfs = Vfs.from_buffer_copy(self._original)
        self._vfs.name = NAME
        self._vfs.open = self._kept(OPEN(self._opened))
        self._vfs.delete = self._kept(DELETE(self._deleted))
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._library.sqlite3_vfs_register(ctypes.byref(self._original), 1)
        if self._open:
            # SQLite still calls us for them: this object must never go.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
        if kind is not None:
            return
        if self._failure is not None:
            raise self._failure
        if self._open:
            raise ProcessError(
                f"{', '.join(sorted(set(self._open.values())))} was left open while recorded",
                fix="close every connection before the recorder",
            )

    def confirm(self) -> int:
        """What is committed is promised from here on; see `Ledger.confirm`."""
        with self._lock:
            return self._ledger.confirm()

    def crash_states(
        self,
        effort: Effort = USUAL,
        coverage: Coverage | None = None,
    ) -> Iterator[CrashedFiles]:
        """What a power cut at any time could leave of the files, each state once."""
        for state in self._ledger.states(effort, coverage):
            yield CrashedFiles(state)

    def _kept(self, callback: Any) -> Any:
        """A reference for as long as SQLite may call it."""
        self._callbacks.append(callback)
        return callback

    def _opened(
        self, vfs: int, name: int | None, file: int, flags: int, flags_out: int | None
    ) -> int:
        result: int = self._original.open(vfs, name, file, flags, flags_out)
        if result == OK and name is not None:
            self._guarded(lambda: self._watch(file, Path(ctypes.string_at(name).decode()), flags))
        return result

    def _watch(self, file: int, path: Path, flags: int) -> None:
        if path.parent != self.folder or path.name.endswith(VOLATILE):
            return
        handle = File.from_address(file)
        table = ctypes.addressof(handle.methods.contents)
        if table not in self._tables:
            self._tables[table] = self._replaced(handle.methods.contents)
        handle.methods = ctypes.pointer(self._tables[table])
        self._open[file] = path.name
        if flags & OPEN_CREATE and flags & OPEN_JOURNALS:
            self._syncs_folder.add(file)
        if path.name not in self._content:
            self._content[path.name] = bytearray()
            self._births[path.name] = self._births.get(path.name, -1) + 1
            self._sectors[path.name] = 0
            self._record_length(path.name)

    def _replaced(self, original: Methods) -> Methods:
        """The table of a file's methods in which those that change it are ours."""

        def close(file: int) -> int:
            with self._lock:
                self._open.pop(file, None)
                self._syncs_folder.discard(file)
            result: int = original.close(file)
            return result

        def write(file: int, data: int, count: int, offset: int) -> int:
            result: int = original.write(file, data, count, offset)
            return self._after(
                result, lambda: self._written(file, ctypes.string_at(data, count), offset)
            )

        def truncate(file: int, size: int) -> int:
            result: int = original.truncate(file, size)
            return self._after(result, lambda: self._cut(self._open[file], size))

        def sync(file: int, flags: int) -> int:
            result: int = original.sync(file, flags)
            return self._after(result, lambda: self._synced(file))

        table = Methods.from_buffer_copy(original)
        table.close = self._kept(CLOSE(close))
        table.write = self._kept(WRITE(write))
        table.truncate = self._kept(TRUNCATE(truncate))
        table.sync = self._kept(SYNC(sync))
        return table

    def _deleted(self, vfs: int, name: bytes, sync_folder: int) -> int:
        result: int = self._original.delete(vfs, name, sync_folder)
        path = Path(name.decode())
        if path.parent != self.folder or path.name not in self._content:
            return result

        def record() -> None:
            length = self._place(path.name, LENGTH)
            del self._content[path.name]
            self._ledger.write(length, b"")
            self._gone.add(length)
            if sync_folder:
                self._flush_names()

        return self._after(result, record)

    def _written(self, file: int, data: bytes, offset: int) -> None:
        name = self._open[file]
        content = self._content[name]
        end = offset + len(data)
        grown = end > len(content)
        content.extend(bytes(max(0, end - len(content))))
        content[offset:end] = data
        self._record(name, range(offset // SECTOR, _sectors(end)))
        if grown:
            self._record_length(name)

    def _cut(self, name: str, size: int) -> None:
        content = self._content[name]
        before = len(content)
        del content[size:]
        content.extend(bytes(size - len(content)))
        # What lay beyond reads as zeros, should the file grow again.
        self._record(name, range(size // SECTOR, _sectors(before)))
        self._record_length(name)

    def _synced(self, file: int) -> None:
        name = self._open[file]
        if file in self._syncs_folder:
            # SQLite's Unix layer flushes the folder with a journal's first sync.
            self._syncs_folder.discard(file)
            self._flush_names()
        numbers = (LENGTH, *range(self._sectors[name]))
        self._ledger.flush(frozenset(self._place(name, number) for number in numbers))

    def _flush_names(self) -> None:
        self._ledger.flush(frozenset(self._gone))
        self._gone.clear()

    def _record(self, name: str, numbers: range) -> None:
        for number in numbers:
            self._ledger.write(self._place(name, number), self._sector(name, number))
        self._sectors[name] = max(self._sectors[name], numbers.stop)

    def _record_length(self, name: str) -> None:
        length = str(len(self._content[name])).encode()
        self._ledger.write(self._place(name, LENGTH), length)

    def _initial(self, name: str) -> Iterator[tuple[Place, bytes]]:
        content = self._content[name]
        self._sectors[name] = _sectors(len(content))
        yield self._place(name, LENGTH), str(len(content)).encode()
        for number in range(self._sectors[name]):
            yield self._place(name, number), self._sector(name, number)

    def _place(self, name: str, number: int) -> Place:
        return name, self._births[name], number

    def _sector(self, name: str, number: int) -> bytes:
        """One sector, zeros beyond the end of the file."""
        part = self._content[name][number * SECTOR : (number + 1) * SECTOR]
        return bytes(part).ljust(SECTOR, b"\0")

    def _after(self, result: int, record: Callable[[], None]) -> int:
        return self._guarded(record) if result == OK else result

    def _guarded(self, record: Callable[[], None]) -> int:
        """An exception can't pass through SQLite: it is kept, and SQLite sees a failed disk."""
        try:
            with self._lock:
                record()
        except BaseException as error:  # noqa: BLE001 - raised when the recorder is left
            self._failure = self._failure or error
            return IOERR
        return OK


class CrashedFiles:
    """The files as a power cut left them."""

    def __init__(self, state: CrashState[Place]) -> None:
        self._state = state

    @property
    def confirmed(self) -> int:
        """How many confirmations had been given at most: so many promises must hold."""
        return self._state.confirmed

    def write(self, folder: Path) -> None:
        """Make the files in a folder; one whose creation was lost is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        # A name's later file comes after an earlier one whose deletion was lost.
        for name, birth in sorted({(name, birth) for name, birth, _ in self._state.places()}):
            length = self._state.get((name, birth, LENGTH))
            if length:
                (folder / name).write_bytes(self._content(name, birth, int(length)))

    def _content(self, name: str, birth: int, length: int) -> bytes:
        sectors = (self._state.get((name, birth, n)) for n in range(_sectors(length)))
        return b"".join(sector or bytes(SECTOR) for sector in sectors)[:length]


def _sectors(length: int) -> int:
    """How many sectors so many bytes touch."""
    return -(-length // SECTOR)
