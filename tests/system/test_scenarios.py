"""Scenarios as a user runs them: real brokers, cloud, boxes and lines, for some seconds each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from shared.errors import CheckFailed

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "hardware-sim" / "hardware_sim" / "scenarios"
PATIENCE_S = 180
# Ten parts a second, half a second to decide.
LINE = {
    "data": "elpv",
    "line": {"speed": 1.0, "pitch": 0.1, "part_length": 0.08, "ejector_at": 1.1},
}


def written(folder: Path, **scenario: Any) -> Path:
    values = {"about": "for a test", "devices": [{"name": "box-1", "line": LINE}]}
    path = folder / f"{scenario['name']}.yaml"
    path.write_text(yaml.safe_dump({**values, **scenario}))
    return path


def command(path: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "shared.commands",
        "sim",
        "run",
        str(path),
        "--format",
        "json",
        *more,
    ]


def carried_out(path: Path, *more: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        command(path, *more),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def test_a_cut_network_a_restarted_broker_and_a_blind_camera_lose_nothing(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        name="troubles",
        duration_s=22,
        operator={"delay_s": 0.5, "error_rate": 0},
        timeline=[
            {"at_s": 2, "kind": "network", "for_s": 3, "conditions": {"partition": True}},
            {"at_s": 7, "kind": "broker", "for_s": 1},
            {
                "at_s": 11,
                "kind": "camera",
                "for_s": 2,
                "effect": {"kind": "disconnect"},
            },
            {"at_s": 11, "kind": "burst", "device": "box-1", "parts": 10, "rate": 1.0},
        ],
        expect={"recovered_within_s": 9},
    )
    code, report = carried_out(path, "--report", str(tmp_path / "report"))
    assert code == 0, report["checks"]
    assert report["ok"]
    assert report["lost"] == report["duplicates"] == 0
    (device,) = report["devices"]
    assert device["parts"] == 220
    assert sum(device["cells"].values()) == 220
    assert report["decided_by"]["deadline"] > 10
    assert report["reviewed"] > 0
    assert [fault["what"] for fault in report["faults"] if fault["began"]] == [
        "network",
        "broker",
        "camera",
        "burst",
    ]
    assert (tmp_path / "report" / "report.html").read_text().count("<svg") == 1


def test_a_power_cut_loses_no_verdict_that_was_given(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        name="power",
        duration_s=18,
        timeline=[{"at_s": 5, "kind": "power", "device": "box-1", "for_s": 1}],
        expect={"without_verdict": 120},
    )
    code, report = carried_out(path)
    assert code == 0, report["checks"]
    assert report["lost"] == report["duplicates"] == 0
    assert report["devices"][0]["cells"]["no_verdict"] > 0


def test_an_expectation_that_is_not_met_fails_the_run_by_name(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        name="frozen",
        duration_s=8,
        timeline=[{"at_s": 1, "kind": "camera", "for_s": 4, "effect": {"kind": "freeze"}}],
        expect={"noticed": ["frozen"]},
    )
    code, report = carried_out(path)
    assert code == CheckFailed.exit_code
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["wrong_part"]
    # All but the one that may look like the part before it got the fail-safe verdict.
    assert report["decided_by"]["deadline"] >= report["devices"][0]["cells"]["wrong_part"] - 1 > 30


def marked(mark: str) -> list[psutil.Process]:
    """Processes whose command names something of the run's own."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(mark in word for word in process.info["cmdline"] or [])
    ]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_ended_simulator_leaves_no_orphan(tmp_path: Path, how: signal.Signals) -> None:
    path = written(tmp_path, name="orphans", duration_s=120)
    folder = tmp_path / "kept"
    with subprocess.Popen(
        command(path, "--keep-in", str(folder)),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        outcomes = folder / "box-1.outcomes.jsonl"
        until = time.monotonic() + PATIENCE_S
        while not (outcomes.exists() and outcomes.stat().st_size):
            assert running.poll() is None
            assert time.monotonic() < until
            os.sched_yield()
        others = [one for one in marked(str(folder)) if one.pid != running.pid]
        assert len(others) >= 3
        running.send_signal(how)
        running.wait(timeout=60)
        _, alive = psutil.wait_procs(others, timeout=30)
        assert not alive
    assert not marked(str(folder))
