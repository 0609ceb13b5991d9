"""The whole service as a process of its own, over a real broker."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from cloud.configuration.settings import CloudSettings
from cloud.records.database import Database
from cloud.service import CloudService
from shared.bundles.bundle import Bundle
from shared.errors import ProcessError
from shared.loopback import bind, free_port
from shared.storage.database import BUSY_TIMEOUT_S
from tests.cloud.makers import DEVICE, batch, escalation, row
from tests.cloud.server import Device, Server
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.mark.process
@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
def test_nothing_is_lost_when_the_broker_is_killed_and_the_end_is_clean(
    tmp_path: Path, bundle: Bundle, kind: str
) -> None:
    with Server(tmp_path, bundle, kind) as server:
        device = Device(server, DEVICE)
        assert device.escalate(escalation(bundle, 1, level=2)).verdict == "reject"
        assert device.report(batch(1, row(2))).batch == 1
        (broker,) = psutil.Process(server.process.pid).children()
        os.kill(broker.pid, signal.SIGKILL)
        assert server.wait_for("broker_died")
        assert device.escalate(escalation(bundle, 3, level=-2)).verdict in {"pass", "reject"}
        assert device.report(batch(2, row(3))).batch == 2
        summary = httpx.get(f"{server.url}/api/v1/summary").json()
        assert summary["inspected"] == 2
        (promise,) = httpx.get(f"{server.url}/api/v1/promise").json()
        assert (promise["bundle"], promise["state"]) == (bundle.id, "unknown")
        device.stop()
        children = psutil.Process(server.process.pid).children()
        assert server.stop() == 0
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive


@pytest.mark.process
def test_a_device_that_nobody_serves_is_told_and_ends_no_service(
    tmp_path: Path, bundle: Bundle
) -> None:
    with Server(tmp_path, bundle) as server:
        device = Device(server, DEVICE)
        unknown = escalation(bundle, 1, pair="of-next-year", remaining=5.0)
        device.transport.publish(DEVICE.topic("escalation"), unknown)
        warned = wait_until(
            lambda: httpx.get(f"{server.url}/api/v1/health").json()["warnings"], "health tells"
        )
        assert "of pair of-next-year came, the first from box-1" in warned[0]
        # Whoever asks whether to start it again, or to send callers elsewhere, looks at this.
        assert httpx.get(f"{server.url}/api/v1/health").status_code == 200
        device.stop()


@pytest.mark.process
def test_serving_needs_no_torch() -> None:
    code = (
        "import sys, cloud.cli, cloud.service; "
        "from shared.bundles.runtime_choice import choose_runtime; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnx', 'shared.splitnet')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.process
def test_a_database_that_is_locked_for_a_while_is_waited_for(
    tmp_path: Path, bundle: Bundle
) -> None:
    url = f"sqlite:///{tmp_path / 'records.db'}"
    made = Database(url)
    made.migrate()
    made.close()
    settings = CloudSettings.model_validate(
        {
            "bundles": [bundle.path],
            "database": url,
            "api": {"port": 0},
            "broker": {"port": free_port()},
            "runtime": {"name": "onnx"},
        }
    )
    service = CloudService(settings)
    starting = threading.Thread(target=service.start)
    with closing(sqlite3.connect(tmp_path / "records.db", isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        given_up = time.monotonic() + BUSY_TIMEOUT_S + 1
        starting.start()
        # SQLite itself has stopped waiting by then.
        wait_until(lambda: time.monotonic() > given_up, "a try is over")
        another.execute("ROLLBACK")
    starting.join(60)
    assert httpx.get(f"{service.url}/api/v1/health").status_code == 200
    service.stop()


def test_a_taken_api_port_is_said_and_leaves_nothing_running(
    tmp_path: Path, bundle: Bundle
) -> None:
    # Other tests may have left a database's server running, for all of them.
    before = psutil.Process().children()
    with bind("127.0.0.1", 0, setting="x") as taken:
        taken.listen()
        settings = CloudSettings.model_validate(
            {
                "bundles": [bundle.path],
                "database": f"sqlite:///{tmp_path / 'records.db'}",
                "api": {"port": taken.getsockname()[1]},
                "runtime": {"name": "onnx"},
            }
        )
        with pytest.raises(ProcessError, match=r"is taken.*api\.port"):
            CloudService(settings).start()
    assert psutil.Process().children() == before
