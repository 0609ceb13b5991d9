"""Every durable write of an update goes through here, so that tests can cut the power at each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol

from shared.storage.files import sync_folder
from shared.storage.twin import SIZE


class DurableFiles(Protocol):
    """Files by path. What `flush`, `rename` and `remove` did survives a power cut."""

    def read(self, path: Path, offset: int = 0, length: int = -1) -> bytes:
        """Raises FileNotFoundError."""

    def size(self, path: Path) -> int:
        """Raises FileNotFoundError."""

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """The file ends with the data. Folders are made as needed."""

    def overwrite(self, path: Path, data: bytes) -> None:
        """In place, and flushed; nothing is cut off."""

    def flush(self, path: Path) -> None:
        """The file's content and its name."""

    def rename(self, old: Path, new: Path) -> None:
        """In one step; replaces a file that has the new name."""

    def remove(self, path: Path) -> None:
        """A file that is not there is no error."""

    def free(self, folder: Path) -> int:
        """Bytes that may still be written."""


class RealDisk:
    """The machine's own."""

    def read(self, path: Path, offset: int = 0, length: int = -1) -> bytes:
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def write(self, path: Path, offset: int, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "wb") as stream:
            stream.seek(offset)
            stream.write(data)
            stream.truncate()

    def overwrite(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        with path.open("wb" if fresh else "r+b") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if fresh:
            sync_folder(path.parent)

    def flush(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        sync_folder(path.parent)

    def rename(self, old: Path, new: Path) -> None:
        old.replace(new)
        sync_folder(new.parent)

    def remove(self, path: Path) -> None:
        if path.exists():
            path.unlink()
            sync_folder(path.parent)

    def free(self, folder: Path) -> int:
        folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(folder).free


def replace(disk: DurableFiles, path: Path, data: bytes) -> None:
    """A small file, old or new whatever happens."""
    partial = path.with_name(path.name + ".partial")
    disk.write(partial, 0, data)
    disk.flush(partial)
    disk.rename(partial, path)


class DiskPair:
    """A twin record's two copies on a disk, where `shared.storage.twin.FilePair` has them."""

    def __init__(self, disk: DurableFiles, folder: Path, name: str) -> None:
        self._disk = disk
        self._paths = tuple(folder / f"{name}.{place}" for place in (0, 1))

    def read(self, place: int) -> bytes:
        try:
            return self._disk.read(self._paths[place], 0, SIZE)
        except FileNotFoundError:
            return b""

    def write(self, place: int, raw: bytes) -> None:
        self._disk.overwrite(self._paths[place], raw)
