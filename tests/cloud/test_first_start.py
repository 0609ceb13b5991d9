"""A real `splitsight cloud serve` that starts for the first time."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cloud.records.database import Database
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from tests.cloud.accounts.pem import write_pair
from tests.cloud.server import ROOT, Server
from tests.cloud.web.caller import access_to

pytestmark = pytest.mark.process

SECRET = "correct horse battery staple"  # noqa: S105 - of these tests
OURS = {"sec-fetch-site": "same-origin"}


def test_the_first_account_is_made_over_https_and_ends_that_everybody_may_do_everything(
    tmp_path: Path, bundle: Bundle
) -> None:
    write_pair(tmp_path, days=30)
    tls = "tls: {certificate: cert.pem, key: key.pem}"
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with Server(tmp_path, bundle, more=f"api: {{port: 0, {tls}}}") as server:
        assert server.url.startswith("https://127.0.0.1:")
        link = (tmp_path / "first-account-link").read_text().strip()
        assert link.startswith(f"{server.url}/first-account/")
        with httpx.Client(base_url=server.url, verify=trusted) as here:
            assert here.get("/api/v1/devices").status_code == 200
            assert here.get("/api/v1/health").json()["warnings"] == []
            made = here.post(link, data={"name": "ada", "password": SECRET}, headers=OURS)
            assert made.status_code == 303
            assert "Secure" in made.headers["set-cookie"]
            assert here.get("/api/v1/me").json()["role"] == "admin"
        with httpx.Client(base_url=server.url, verify=trusted) as stranger:
            assert stranger.get("/api/v1/devices").status_code == 401
            assert stranger.get(link).status_code == 404
    # There is an account: the next start offers nothing.
    with Server(tmp_path, bundle, more="api: {port: 0}") as server:
        assert not (tmp_path / "first-account-link").exists()
        assert httpx.get(f"{server.url}/api/v1/devices").status_code == 401


def test_commands_beside_a_running_cloud_count_at_once(tmp_path: Path, bundle: Bundle) -> None:
    with Server(tmp_path, bundle) as server:
        assert httpx.get(f"{server.url}/api/v1/devices").status_code == 200
        command = [sys.executable, "-c", "from shared.commands.root import main; main()"]
        words = ("cloud", "account", "add", "ada", "--role", "admin")
        done = subprocess.run(
            [*command, *words, "--config", str(tmp_path / "cloud.yaml")],
            cwd=ROOT,
            input=f"{SECRET}\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert httpx.get(f"{server.url}/api/v1/devices").status_code == 401


def test_on_every_address_without_tls_health_warns_and_the_old_token_still_works(
    tmp_path: Path, bundle: Bundle
) -> None:
    api = "api: {host: 0.0.0.0, port: 0, token: 0123456789abcdef}"
    with Server(tmp_path, bundle, more=api) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        assert httpx.get(f"{url}/api/v1/health").status_code == 401
        known = {"authorization": "Bearer 0123456789abcdef"}
        health = httpx.get(f"{url}/api/v1/health", headers=known)
        assert "passwords and tokens can be read" in health.json()["warnings"][0]
        database = Database(f"sqlite:///{tmp_path / 'splitsight.db'}")
        access = access_to(database, SystemClock())
        assert not access.accounts.any
        database.close()
