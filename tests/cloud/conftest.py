"""Real things to test against: a bundle, SQLite files, a PostgreSQL cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cloud.records.database import Database
from shared.bundles.bundle import Bundle
from shared.loopback import free_port
from tests.bundles import make_bundle
from tests.support.databases import place_migrated

USER = "postgres"


class Cluster:
    """A PostgreSQL server of our own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._migrated = ""

    def create(self, name: str, template: str = "template1") -> str:
        """A new database's URL; empty, or a copy of the template."""
        address = f"postgresql://{USER}@127.0.0.1:{self._port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self._port}/{name}"

    def create_migrated(self, name: str) -> str:
        """A new database's URL, with the cloud's tables."""
        if not self._migrated:
            database = Database(self.create("migrated"))
            database.migrate()
            database.close()
            self._migrated = "migrated"
        return self.create(name, self._migrated)


def postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    where = shutil.which("initdb")
    return found[-1].parent if found else Path(where).parent if where else None


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    programs = postgres_programs()
    if programs is None:
        reason = "PostgreSQL is not installed: apt install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # PostgreSQL refuses to run as root.
    as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="splitsight-postgres-"))
    if as_user:
        shutil.chown(folder, USER)
    data, port = folder / "data", free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    control = [*as_user, str(programs / "pg_ctl"), "-D", str(data)]

    def run(*command: str) -> None:
        # To a file: the server inherits the output, and a pipe would never end.
        with (folder / "log").open("ab") as output:
            subprocess.run(
                command, cwd=folder, stdout=output, stderr=output, check=True, timeout=60
            )

    initdb = [str(programs / "initdb"), "-D", str(data), "-U", USER, "-A", "trust", "--no-sync"]
    run(*as_user, *initdb)
    run(*control, "-w", "-o", options, "start")
    yield Cluster(port)
    run(*control, "-m", "immediate", "stop")
    shutil.rmtree(folder)


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.process)]


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.db'}"
    running: Cluster = request.getfixturevalue("cluster")
    return running.create(f"test_{tmp_path.name}".lower())


@pytest.fixture(params=KINDS)
def every_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database, once on each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{place_migrated(Database, tmp_path / 'records.db')}"
    else:
        running: Cluster = request.getfixturevalue("cluster")
        url = running.create_migrated(f"test_{tmp_path.name}".lower())
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated SQLite file."""
    path = place_migrated(Database, tmp_path / "records.db")
    opened = Database(f"sqlite:///{path}", busy_timeout_s=0.05)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
