"""A card in a reader, or a file that stands for one."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from shared.errors import DeviceRefused

BLKFLSBUF = 0x1261


class FileDisk:
    """Opened for the time of writing; a `shared.storage.disks.RawDisk`."""

    def __init__(self, path: Path) -> None:
        """Raises DeviceRefused where it can't be opened, or is in use."""
        self._path = path
        try:
            kind = path.stat().st_mode
            self._is_block = stat.S_ISBLK(kind)
            # Of a block device, the kernel then refuses what is mounted.
            exclusive = os.O_EXCL if self._is_block else 0
            self._handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | exclusive)
        except OSError as error:
            raise DeviceRefused(
                f"{path} can't be opened for writing ({error.strerror})",
                fix="unmount it, and run this as root or as a member of the group disk",
            ) from error
        self.size = os.lseek(self._handle, 0, os.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = os.pread(self._handle, length - len(data), offset + len(data))
            if not piece:
                break
            data += piece
        return bytes(data)

    def write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._handle, view, offset)
            offset, view = offset + written, view[written:]

    def flush(self) -> None:
        """On the medium; and what is read next comes from there, not from memory."""
        os.fsync(self._handle)
        if self._is_block:
            fcntl.ioctl(self._handle, BLKFLSBUF)
        else:
            os.posix_fadvise(self._handle, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        os.close(self._handle)
