"""Files that hold either their old content or their new one, whatever happens meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from shared.storage.twin import sync_folder

PRIVATE = 0o600
PUBLIC = 0o644


def replace_file(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Returns when the content would survive a power cut. Raises OSError."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    # Created with its mode: a key must not be readable by others for a moment either.
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    sync_folder(path.parent)
