"""The product as its users start it: real processes, real pictures, a real broker."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from hardware_sim.demo.demo import Demo
from hardware_sim.demo.summary import DemoSummary
from hardware_sim.processes.child import splitsight
from shared.errors import ProcessError
from shared.loopback import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PATIENCE_S = 90.0
SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "report-demo.schema.json"


def going(demo: Demo) -> Demo:
    """What it does between two looks."""
    demo.tend()
    return demo


def inspected(demo: Demo) -> int:
    status = demo.status()
    return int(status["summary"]["inspected"]) if status else 0


def finish(demo: Demo) -> DemoSummary:
    wait_until(lambda: going(demo).finished, "the demo is over", within_s=PATIENCE_S)
    demo.stop()
    return demo.summarise()


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    ports = ("--port", str(free_port()), "--broker-port", str(free_port()))
    return subprocess.run(
        splitsight("demo", *ports, *arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_demo_decides_at_edge_and_cloud_and_reports_what_its_schema_says() -> None:
    done = run_demo("--parts", "90", "--format", "json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["parts"] == 90
    assert report["lost"] == 0
    assert report["duplicates"] == 0
    decided = report["verdicts"]
    assert decided["edge"]["pass"] > 0
    assert decided["edge"]["reject"] > 0
    assert sum(decided["cloud"].values()) > 0
    assert 0 < report["bytes_per_escalation_p50"] <= 6 * 1024
    assert report["bytes_per_part"] < report["jpeg_bytes_per_part"]


def kill_a_box(demo: Demo) -> None:
    pid = demo.boxes[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def kill_the_cloud(demo: Demo) -> None:
    assert demo.cloud.child.pid is not None
    os.kill(demo.cloud.child.pid, signal.SIGKILL)


def kill_the_broker(demo: Demo) -> None:
    assert demo.broker.pid is not None
    os.kill(demo.broker.pid, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_a_box, kill_the_cloud, kill_the_broker])
def test_killing_any_process_loses_no_part_and_counts_none_twice(
    demo: Demo, kill: Callable[[Demo], None]
) -> None:
    demo.start()
    wait_until(lambda: inspected(going(demo)) >= 10, "ten parts", within_s=PATIENCE_S)
    kill(demo)
    summary = finish(demo)
    assert summary.parts == 90
    assert summary.lost == 0
    assert summary.duplicates == 0
    assert any("started again" in notice for notice in demo.notices)


def test_a_box_that_can_not_start_ends_the_demo_with_its_last_words(
    demo: Demo, tmp_path: Path
) -> None:
    (tmp_path / "box-2.yaml").write_text("site: demo\n")
    demo.start()
    with pytest.raises(ProcessError, match="box-2 ended with exit code 10"):
        wait_until(lambda: going(demo).finished, "the demo is over", within_s=PATIENCE_S)


def test_a_busy_port_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_demo("--parts", "3", "--port", port)
    assert done.returncode == ProcessError.exit_code
    assert f"port {port} on 127.0.0.1 is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_everything_and_still_tells_what_was_inspected(tmp_path: Path) -> None:
    ports = ("--port", str(free_port()), "--broker-port", str(free_port()))
    with subprocess.Popen(
        splitsight("demo", *ports, "--format", "json", "--keep-in", str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("live page"):
                break
        children = psutil.Process(running.pid).children(recursive=True)
        assert len(children) >= 3
        running.send_signal(signal.SIGINT)
        printed, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, printed
    assert json.loads(printed)["lost"] == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_a_demo_that_is_killed_leaves_no_orphan() -> None:
    ports = ("--port", str(free_port()), "--broker-port", str(free_port()))
    with subprocess.Popen(
        splitsight("demo", *ports), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("live page"):
                break
        children = psutil.Process(running.pid).children(recursive=True)
        running.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
