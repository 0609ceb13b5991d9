"""The database behind identities and rollouts."""

from __future__ import annotations

from pathlib import Path

from shared.storage.database import SqlDatabase

MIGRATIONS = Path(__file__).parent / "migrations"
NAME = "fleet.db"


class FleetDatabase(SqlDatabase):
    """One SQLite file or PostgreSQL database with the fleet's tables."""

    def __init__(self, url: str) -> None:
        """Connects later. Raises RecordsError for a URL that can't be understood."""
        super().__init__(url, MIGRATIONS)

    @classmethod
    def in_folder(cls, folder: Path) -> FleetDatabase:
        """The SQLite file in a fleet's folder, which is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(f"sqlite:///{folder / NAME}")
