"""A password in the database's URL, and a token, are read nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cloud.configuration.settings import load_cloud_settings
from cloud.records.database import Database
from shared.bundles.bundle import Bundle
from shared.errors import RecordsError
from tests.support.planted import DATABASES, PLANTED

pytest.importorskip("psycopg")


@pytest.mark.parametrize("url", DATABASES.values(), ids=DATABASES)
def test_a_database_that_can_t_be_used_tells_no_secret(tmp_path: Path, url: str) -> None:
    path = tmp_path / "cloud.yaml"
    path.write_text(f"bundles: [b]\ndatabase: '{url}'\napi: {{token: {PLANTED}{PLANTED}}}\n")
    settings = load_cloud_settings(path)
    assert PLANTED not in repr(settings) + settings.model_dump_json()
    with pytest.raises(RecordsError) as caught:  # noqa: PT012 - which of both depends on the form
        database = Database(settings.database)
        assert PLANTED not in database.url
        with database.begin():
            pass
    assert PLANTED not in str(caught.value)


@pytest.mark.process
@pytest.mark.parametrize("form", ["query", "slash in it", "no port", "unknown option"])
def test_a_cloud_that_does_not_start_tells_no_secret(
    tmp_path: Path, form: str, bundle: Bundle
) -> None:
    path = tmp_path / "cloud.yaml"
    token = f"api: {{port: 0, token: {PLANTED}{PLANTED}}}"
    path.write_text(
        f"bundles: ['{bundle.path}']\nembedded_broker: {{enabled: false}}\nbroker: {{port: 1}}\n"
        f"database: '{DATABASES[form]}'\n{token}\n"
    )
    command = [sys.executable, "-m", "shared.commands", "cloud", "serve", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == RecordsError.exit_code, done.stderr
    assert "127.0.0.1" in done.stderr or "postgresql" in done.stderr
    assert PLANTED not in done.stdout + done.stderr
