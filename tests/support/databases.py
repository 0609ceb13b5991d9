"""Migrated SQLite files: each kind is migrated once a process, and copied."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.storage.database import SqlDatabase


def place_migrated(kind: Callable[[str], SqlDatabase], path: Path) -> Path:
    """Write a file with the tables of this kind, unless something is there; its path."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated(kind))
    return path


@cache
def _migrated(kind: Callable[[str], SqlDatabase]) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        database = kind(f"sqlite:///{path}")
        database.migrate()
        # The last connection that goes brings what its log holds into the file.
        database.close()
        return path.read_bytes()
