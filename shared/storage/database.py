"""A SQL database: connecting, migrating, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlmodel import create_engine

from shared.address import DatabaseAddress
from shared.errors import RecordsError
from shared.redaction import redact
from shared.storage.migration import UnknownStep, is_current, upgrade

BUSY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 15_000
# The server's own limit comes first, where its word can reach us.
ANSWER_S = STATEMENT_TIMEOUT_MS / 1000 + 2
LOOK_S = 3.0
MIGRATION_S = 3600.0


# What no later try changes. The driver's own checks raise errors that are none of a database.
_UNSTORABLE = (DataError, IntegrityError, OverflowError, UnicodeError)


class UnstorableRecord(RecordsError):
    """A row can't be stored, and never will be; the others of its transaction may."""


class SqlDatabase:
    """One SQLite file or PostgreSQL database. Safe to share between threads."""

    def __init__(
        self,
        url: str | DatabaseAddress,
        migrations: Path,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        """Connects later.

        migrations       the folder of alembic's scripts
        busy_timeout_s   how long SQLite waits for another program's lock
        answer_s         how long is waited for each answer of PostgreSQL
        Raises RecordsError for a URL that can't be understood.
        """
        address = url if isinstance(url, DatabaseAddress) else DatabaseAddress(url)
        self.url = str(address)
        self._migrations = migrations
        self._answer_s = answer_s
        self._hurry: Callable[[float], None] = lambda _seconds: None
        try:
            self.engine = self._engine(address.get_secret_value(), busy_timeout_s)
        except ValueError as error:
            # The text would be what stands where the port belongs, such as half of a password.
            raise RecordsError(
                f"the database {self.url} can't be used (what follows its host is no port)",
                fix=f"write @ / : ? # in a password as %40 %2F %3A %3F %23, and {_URL}",
            ) from error
        except (SQLAlchemyError, ImportError) as error:
            raise RecordsError(
                f"the database {self.url} can't be used ({error})", fix=_URL
            ) from error

    def migrate(self) -> None:
        """Bring the tables to this version's. Raises RecordsError where that is impossible."""
        try:
            with self.begin(within_s=MIGRATION_S) as connection:
                if connection.dialect.name == "postgresql":
                    # A large table takes its time, and another worker's migration too.
                    connection.execute(text(f"SET LOCAL statement_timeout = '{MIGRATION_S:.0f}s'"))
                    # Several workers may start at once; one migrates, the others find it done.
                    connection.execute(text("SELECT pg_advisory_xact_lock(7357)"))
                if not is_current(connection, self._migrations):
                    upgrade(connection, self._migrations)
        except UnknownStep as error:
            raise RecordsError(
                f"the database {self.url} was made by another version ({error})",
                fix="run the version of splitsight that made it, or a newer one",
            ) from error

    @contextmanager
    def begin(self, *, within_s: float | None = None) -> Iterator[Connection]:
        """A transaction: all of it is stored, or none.

        within_s   seconds for each answer of PostgreSQL, instead of `answer_s`
        Raises RecordsError where the database is locked, full, unreachable, silent or refuses.
        """
        with self._explained(), self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                raw: Any = connection.connection.dbapi_connection
                raw.answer_s = within_s or self._answer_s
            yield connection

    def answers(self) -> bool:
        """Whether the database can be read now."""
        try:
            with self.begin(within_s=LOOK_S) as connection:
                connection.execute(text("SELECT 1"))
        except RecordsError:
            return False
        return True

    def hurry(self, within_s: float) -> None:
        """The service stops: from so many seconds on PostgreSQL is not waited for any more, by
        whoever waits now either."""
        self._hurry(within_s)

    def close(self) -> None:
        self.engine.dispose()

    def _engine(self, url: str, busy_timeout_s: float) -> Engine:
        if url.startswith("sqlite"):
            engine = create_engine(url, connect_args={"timeout": busy_timeout_s})
            event.listen(engine, "connect", _set_pragmas)
            return engine
        # Only who has PostgreSQL has its driver.
        from shared.storage.postgresql import (  # noqa: PLC0415
            KEPT_ALIVE,
            WaitLimits,
            bound,
        )

        limits = WaitLimits(self._answer_s)
        self._hurry = limits.hurry
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=CONNECT_TIMEOUT_S,
            connect_args={
                **{name: value for name, value in KEPT_ALIVE.items() if f"{name}=" not in url},
                "connect_timeout": CONNECT_TIMEOUT_S,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=utc",
            },
        )
        bound(engine, limits)
        return engine

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _UNSTORABLE as error:
            raise UnstorableRecord(
                f"the database {self.url} can't hold what came ({redact(_reason(error))})",
                fix="update whichever side is older",
            ) from error
        except SQLAlchemyError as error:
            reason = _reason(error)
            raise RecordsError(
                f"the database {self.url} can't be used ({redact(reason)})", fix=_remedy(reason)
            ) from error


def _reason(error: Exception) -> str:
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return said.splitlines()[0]


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # FULL: a receipt tells the device to forget, so what it covers must survive a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _remedy(reason: str) -> str:
    for sign, remedy in _REMEDIES.items():
        if sign in reason.lower():
            return remedy
    return (
        "check that the database runs and that its URL is right; devices send again until it does"
    )


_URL = "use sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
_REMEDIES = {
    "did not answer": "check the network between this machine and the database, and how busy that "
    "is; devices send again until it answers",
    "malformed": "the file is damaged: stop the service, keep the file elsewhere, and put a backup "
    "in its place, or nothing to begin anew",
    "not a database": "the file is damaged or another program's: keep it elsewhere, and put a "
    "backup in its place, or nothing to begin anew",
    "disk i/o": "check the disk of the database; devices send again until it works",
    "locked": "another program holds the file: end it; devices send again until it is free",
    "full": "free some disk space; devices send again until it fits",
    "readonly": "make the file and its folder writable for this user",
    "unable to open": "check that the folder exists and is writable for this user",
    "password": "check the user and password in the URL",
    "does not exist": "create the database: createdb NAME",
}
