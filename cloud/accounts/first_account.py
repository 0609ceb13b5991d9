"""The link with which the first account is made: there is no password that all clouds share."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from sqlalchemy import delete, insert, select
from sqlmodel import col

from cloud.accounts.sessions import key_of
from cloud.accounts.tables import FirstAccountRecord
from cloud.records.database import Database
from shared.clock import Clock
from shared.log import get_logger

log = get_logger("access")

PATH = "/first-account"
GOOD_S = 24 * 3600.0


class FirstAccount:
    """Links that were offered. Each call raises RecordsError.

    file   where a link is written for the owner of the process only
    """

    def __init__(self, database: Database, clock: Clock, file: Path) -> None:
        self._database = database
        self._clock = clock
        self._file = file

    def offer(self, url: str) -> None:
        """A new link, in the log and in the file, beside those of others that start at once."""
        secret, now = secrets.token_urlsafe(32), self._clock.utc()
        link = FirstAccountRecord
        with self._database.begin() as connection:
            connection.execute(delete(link).where(col(link.expires_at) <= now))
            connection.execute(insert(link).values(key=key_of(secret), expires_at=now + GOOD_S))
        address = f"{url}{PATH}/{secret}"
        self._write(address)
        # The one secret that is logged, on purpose: who reads the log of the start may begin.
        log.warning(
            "no_account_yet",
            make_one_at=address,
            also_in=str(self._file),
            good_for_h=GOOD_S / 3600,
        )

    def accepts(self, secret: str) -> bool:
        """Whether a link works now."""
        link = FirstAccountRecord
        query = select(col(link.expires_at)).where(col(link.key) == key_of(secret))
        with self._database.begin() as connection:
            until = connection.execute(query).scalar_one_or_none()
        return until is not None and until > self._clock.utc()

    def withdraw(self) -> None:
        """There is an account now: no link works any longer."""
        with self._database.begin() as connection:
            connection.execute(delete(FirstAccountRecord))
        self._file.unlink(missing_ok=True)

    def _write(self, address: str) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # Made anew, so that nobody who had the old one open reads along.
            self._file.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(self._file, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(f"{address}\n")
        except OSError as error:
            # The log has it, too.
            log.warning("link_not_written", file=str(self._file), error=str(error.strerror))
