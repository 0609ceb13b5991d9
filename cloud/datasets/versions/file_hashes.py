"""sha256 of a data set's files, kept by time and size, so that only what changed is read again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from shared.clock import Clock, SystemClock
from shared.errors import DataError
from shared.storage.files import PUBLIC, replace_file

FOLDER = ".splitsight"
CACHE = "cache/hashes.msgpack"
SETTLED_S = 2.0
"""A file that changed this short a time before it was read may change again within one tick of
its file system's clock, and look as it did: it is read the next time, too."""


class _HashedFile(msgspec.Struct, frozen=True, array_like=True):
    """What `stat` said of a file when it was read. Nothing but the kernel sets `changed_ns`, so
    that a file whose old time was put back is seen, too."""

    size: int
    modified_ns: int
    changed_ns: int
    sha256: str


class FileHashes:
    """Hashes of files by their paths; those inside `root` are known by where they lie in it."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        """Takes what an earlier run has kept; a damaged or missing cache only costs time."""
        self._above = f"{root}{os.sep}"
        self._path = root / FOLDER / CACHE
        self._clock = clock or SystemClock()
        self._known: dict[str, _HashedFile] = {}
        self._asked: dict[str, _HashedFile] = {}
        self.read = 0
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._known = msgspec.msgpack.decode(
                self._path.read_bytes(), type=dict[str, _HashedFile]
            )

    def relative(self, path: Path) -> str:
        """As versions name it: from the root on, with `/`; whole where it lies elsewhere."""
        # As text: pathlib takes ten times as long, seconds for 100,000 files.
        return str(path).removeprefix(self._above).replace(os.sep, "/")

    def sha256(self, path: Path) -> str:
        """Of the file's bytes, hexadecimal. Raises DataError where it can't be read."""
        name = self.relative(path)
        try:
            found = path.stat()
            stat = found.st_size, found.st_mtime_ns, found.st_ctime_ns
            known = self._known.get(name)
            if known is None or (known.size, known.modified_ns, known.changed_ns) != stat:
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                known = _HashedFile(*stat, digest)
                self.read += 1
        except OSError as error:
            raise DataError(
                f"{path} can't be read ({error.strerror})", fix="mend or remove it"
            ) from error
        if self._clock.utc() - known.changed_ns / 1e9 > SETTLED_S:
            self._asked[name] = known
        return known.sha256

    def keep(self) -> None:
        """Write what was asked for, for the next run. Raises OSError."""
        if self._asked == self._known:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, msgspec.msgpack.encode(self._asked), mode=PUBLIC)
