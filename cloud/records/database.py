"""The database behind the records."""

from __future__ import annotations

from pathlib import Path

from shared.address import DatabaseAddress
from shared.storage.database import ANSWER_S, BUSY_TIMEOUT_S, SqlDatabase

MIGRATIONS = Path(__file__).parent / "migrations"


class Database(SqlDatabase):
    """One SQLite file or PostgreSQL database with the cloud's tables."""

    def __init__(
        self,
        url: str | DatabaseAddress,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        """Connects later. Raises RecordsError for a URL that can't be understood."""
        super().__init__(url, MIGRATIONS, busy_timeout_s=busy_timeout_s, answer_s=answer_s)
