"""A PostgreSQL server of our own, whose files go with it unless they are to be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from hardware_sim.processes.child import Child
from hardware_sim.processes.readiness import await_ready
from shared.errors import ProcessError

USER = "postgres"
MAKE_TIMEOUT_S = 60.0


def postgresql_programs() -> Path | None:
    """The folder of `initdb` and `postgres`, or None where they are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    where = shutil.which("initdb")
    return found[-1].parent if found else Path(where).parent if where else None


class PostgresqlServer(Child):
    """On loopback, for whoever is on this machine. What it has committed outlives a kill of its
    processes, not of the machine.

    Raises ProcessError where PostgreSQL is not installed.
    """

    def __init__(self, port: int, kept: Path | None = None) -> None:
        """kept: a folder for its files, which stays and may be there from before"""
        programs = postgresql_programs()
        if programs is None:
            raise ProcessError("PostgreSQL is not installed", fix="apt install postgresql")
        self._programs, self._port = programs, port
        self._kept = kept is not None
        self._folder = kept or Path(tempfile.mkdtemp(prefix="splitsight-postgresql-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._data = self._folder / "data"
        server = [
            str(programs / "postgres"),
            *("-D", str(self._data), "-p", str(port), "-k", str(self._folder)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
        ]
        super().__init__("PostgreSQL", [*_as_user(), *server], self._folder / "log")

    def url(self, database: str) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Returns once it answers. Raises ProcessError where it never does."""
        if not self._data.exists():
            self._make()
        super().start()
        # What was killed may hold its memory for a moment yet.
        await_ready(self, self._answers, again=super().start)

    def create(self, name: str, template: str = "template1") -> str:
        """A database's URL. A new one is empty or a copy of the template; a kept one stays."""
        with psycopg.connect(self._address, autocommit=True) as connection:
            named = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
            if self._kept and named.fetchone() is not None:
                return self.url(name)
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return self.url(name)

    def close(self) -> None:
        """End it, and forget everything that is not to be kept. May be called twice."""
        self.kill()
        if not self._kept:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _address(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self._port}/postgres?connect_timeout=2"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._address).close()
        except psycopg.Error:
            return False
        return True

    def _make(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self._folder, USER)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", USER]
        with self.log.open("ab") as log:
            done = subprocess.run(
                [*_as_user(), *command, "-A", "trust", "--no-sync"],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                check=False,
                timeout=MAKE_TIMEOUT_S,
            )
        if done.returncode:
            raise ProcessError(f"initdb failed: {self.last_words()}", fix="apt install postgresql")


def _as_user() -> list[str]:
    """PostgreSQL refuses to run as root. Who changes user is asked anew to end with its parent."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv") or "/usr/bin/setpriv"
    return [setpriv, f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--pdeathsig=KILL"]
