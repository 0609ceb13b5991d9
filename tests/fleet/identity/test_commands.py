"""The commands against a cloud that runs: from nothing to a device that is put out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cloud.broker.programs import Mosquitto
from fleet.client.cloud_api import CloudApi, with_identities
from shared.errors import IdentityError, TransportError
from shared.loopback import free_port
from tests.bundles import make_bundle

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-of-sixteen"  # noqa: S105 - of this test alone


def splitsight(*words: object, code: int = 0) -> Any:
    """Run a command; its JSON, or what it said on standard error where it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "shared.commands", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "SPLITSIGHT_TOKEN": TOKEN, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    if code:
        return done.stderr
    return json.loads(done.stdout) if "json" in words else done.stdout


@contextmanager
def served(config: Path) -> Iterator[str]:
    """The address of a cloud that runs."""
    command = [sys.executable, "-m", "shared.commands", "cloud", "serve", "--config", str(config)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if '"ready"' in line:
                break
        assert process.poll() is None, seen
        try:
            yield str(json.loads(seen[-1])["address"])
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()


@pytest.mark.process
def test_from_nothing_to_a_device_that_is_put_out(tmp_path: Path) -> None:
    if Mosquitto().found() is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    folder = tmp_path / "fleet"
    named = ("fleet", "init", "--folder", folder, "--host", "127.0.0.1")
    made = splitsight(*named, "--format", "json")
    assert "is there already" in splitsight(*named, code=70)
    gateway = free_port()
    config = tmp_path / "cloud.yaml"
    secure = {**made["secure"], "host": "127.0.0.1", "port": free_port()}
    cloud_settings = {
        "bundles": [str(make_bundle(tmp_path / "bundle").path)],
        "broker": {"port": free_port()},
        "embedded_broker": {"kind": "mosquitto", "secure": secure},
        "runtime": {"name": "onnx", "threads": 1},
        "api": {"port": 0, "token": TOKEN},
        "fleet": {"folder": str(folder), "gateway": {"port": gateway}},
    }
    config.write_text(yaml.safe_dump(cloud_settings))
    with served(config) as url:
        at = ("--cloud", url, "--format", "json")
        where = ("--site", "plant", "--line", "line", "--device", "box-1")
        token = splitsight("fleet", "claim", *where, *at)["token"]
        box = tmp_path / "edge.yaml"
        identity = {"gateway": f"https://127.0.0.1:{gateway}", "ca": secure["ca"], "claim": token}
        edge_settings = {
            "site": "plant",
            "line": "line",
            "device": "box-1",
            "bundle": cloud_settings["bundles"][0],  # type: ignore[index]
            "broker": {"port": secure["port"]},
            "camera": {"kind": "folder", "path": "pictures"},
            "actuator": {"kind": "log"},
            "identity": identity,
        }
        box.write_text(yaml.safe_dump(edge_settings))
        assert "got a certificate" in splitsight("edge", "enrol", "--config", box)
        assert "has its certificate" in splitsight("edge", "enrol", "--config", box)
        (row,) = splitsight("fleet", "devices", *at)
        assert (row["device"], row["identity"]) == ("box-1", "active")
        assert 89 < row["days_left"] <= 90

        reason = ("--reason", "stolen")
        assert splitsight("fleet", "revoke", "box-1", *reason, *at)["standing"] == "revoked"
        (row,) = splitsight("fleet", "devices", *at)
        assert (row["identity"], row["reason"]) == ("revoked", "stolen")
        refused = splitsight("fleet", "claim", *where, "--cloud", url, code=70)
        assert "splitsight fleet readmit box-1" in refused
        again = splitsight("fleet", "readmit", "box-1", *at)["token"]
        box.write_text(yaml.safe_dump(edge_settings | {"identity": {**identity, "claim": again}}))
        assert "got a certificate" in splitsight("edge", "enrol", "--config", box)
        rows = splitsight("doctor", "--config", box, "--format", "json")
        found = {row["check"]: row for row in rows}
        assert found["broker"]["ok"]
        assert found["identity"]["ok"], found["identity"]
        assert "valid for 90 more days" in found["identity"]["found"]


def answering(status: int, **content: Any) -> CloudApi:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, **content))
    return CloudApi("http://cloud.example:8765", transport=transport)


def test_a_cloud_without_a_fleet_has_no_identities() -> None:
    assert answering(404, json={"error": "no", "fix": "no"}).identities() is None


@pytest.mark.parametrize("status", [403, 409, 422])
def test_what_the_cloud_refuses_is_told_in_its_words(status: int) -> None:
    said = {"error": "box-1 is held", "fix": "readmit it"}
    with pytest.raises(IdentityError, match="box-1 is held; readmit it"):
        answering(status, json=said).identify("claims", {})


@pytest.mark.parametrize("content", [{"text": "<p>no</p>"}, {"json": []}, {"json": {"a": 1}}])
def test_a_refusal_by_something_else_points_to_the_address(content: dict[str, Any]) -> None:
    with pytest.raises(TransportError, match="check the address"):
        answering(404, **content).identify("claims", {})


def test_an_answer_of_something_else_points_to_the_address() -> None:
    with pytest.raises(TransportError, match="not a splitsight cloud"):
        answering(201, json=[1]).identify("claims", {})


def test_devices_and_identities_are_joined_by_name() -> None:
    identity = {
        "device": "box-2",
        "site": "plant",
        "line": "line",
        "standing": "held",
        "reason": "two of it",
        "serial": "1f",
        "not_after": 86400.0,
        "renewed_at": 5.0,
    }
    heard = [{"site": "plant", "line": "line", "device": "box-1", "state": "online"}]
    rows = with_identities(heard, [identity], now=43200.0)
    assert [row["device"] for row in rows] == ["box-1", "box-2"]
    assert [row["identity"] for row in rows] == ["none", "held"]
    assert rows[1]["days_left"] == 0.5
    assert rows[1]["state"] == ""
    assert all(row.keys() == rows[0].keys() for row in rows)
