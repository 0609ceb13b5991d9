"""The steps that bring a database's tables to this version's, in alembic's folders of scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "alembic_version"


class UnknownStep(Exception):
    """The database has had a step that is not known here."""


def is_current(connection: Connection, migrations: Path) -> bool:
    """Whether the database has had the last step. It is asked at every start: alembic, which reads
    all steps for that, takes four tenths of a second of it."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return False
    had = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()  # noqa: S608
    return had == [last_step(migrations)]


def last_step(migrations: Path) -> str:
    """The number of the last step: a script's name begins with its own, and they ascend."""
    return max(script.name.partition("_")[0] for script in (migrations / "versions").glob("*_*.py"))


def upgrade(connection: Connection, migrations: Path) -> None:
    """Do the steps that are missing. Raises UnknownStep."""
    from alembic import command  # noqa: PLC0415
    from alembic.util.exc import CommandError  # noqa: PLC0415

    try:
        command.upgrade(migration_config(connection, migrations), "head")
    except CommandError as error:
        raise UnknownStep(str(error)) from error


def migration_config(connection: Connection, migrations: Path) -> Config:
    """What alembic needs to work on this connection."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
