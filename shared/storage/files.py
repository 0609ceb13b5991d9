"""Files and folders that hold their old content or their new one, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def replace_file(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Returns when the content would survive a power cut. Raises OSError."""
    with replacing(path) as partial:
        # Created with its mode: a key must not be readable by others for a moment either.
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)


@contextmanager
def replacing(path: Path, partial: Path | None = None) -> Iterator[Path]:
    """A name under which to write a file or make a folder, which then takes the place of `path`.

    partial   that name, on the same file system, instead of `path` with `.partial` behind it
    What an earlier writer left there is removed first, and what was written is removed where the
    block raises. Leaves the block when what is new would survive a power cut. Raises OSError.
    """
    partial = partial or path.with_name(path.name + ".partial")
    _remove(partial)
    try:
        yield partial
        _sync(partial)
        if partial.is_dir() and path.is_dir():
            # No folder takes the place of another in one step.
            old = path.with_name(path.name + ".old")
            _remove(old)
            path.replace(old)
            partial.replace(path)
            _remove(old)
        else:
            partial.replace(path)
    except BaseException:
        _remove(partial)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Returns when the names in a folder would survive a power cut."""
    _flush(folder)


def _sync(path: Path) -> None:
    if path.is_dir():
        for below in sorted(path.rglob("*")):
            if not below.is_symlink() and (below.is_file() or below.is_dir()):
                _flush(below)
    _flush(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
