"""Real things to test against: a bundle, SQLite files, a PostgreSQL cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.records.database import Database
from hardware_sim.processes.postgresql import PostgresqlServer, postgresql_programs
from shared.bundles.bundle import Bundle
from shared.loopback import free_port
from tests.bundles import make_bundle
from tests.support.databases import place_migrated


class Cluster:
    """A PostgreSQL server of our own, with databases that have the cloud's tables."""

    def __init__(self, server: PostgresqlServer) -> None:
        self.server = server
        self._migrated = ""

    def create(self, name: str) -> str:
        """A new, empty database's URL."""
        return self.server.create(name)

    def create_migrated(self, name: str) -> str:
        """A new database's URL, with the cloud's tables."""
        if not self._migrated:
            database = Database(self.create("migrated"))
            database.migrate()
            database.close()
            self._migrated = "migrated"
        return self.server.create(name, self._migrated)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if postgresql_programs() is None:
        reason = "PostgreSQL is not installed: apt install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = PostgresqlServer(free_port())
    server.start()
    yield Cluster(server)
    server.close()


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
