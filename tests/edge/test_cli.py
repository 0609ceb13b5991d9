from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import pytest

from shared.bundles.bundle import Bundle
from shared.errors import CameraError, SettingsError
from tests.bundles import BAD, GOOD, picture
from tests.edge.rigs import rows_in
from tests.support.brokers import mosquitto

pytestmark = pytest.mark.process

CONFIG = """\
site: plant
line: line
device: box
bundle: {bundle}
broker: {{port: 1}}
camera:
  kind: folder
  path: pictures
  loop: true
  rate: 50
actuator:
  kind: log
runtime:
  name: onnx
"""


@pytest.fixture
def config(tmp_path: Path, bundle: Bundle) -> Path:
    (tmp_path / "pictures").mkdir()
    for index, brightness in enumerate([GOOD, BAD]):
        cv2.imwrite(str(tmp_path / "pictures" / f"{index}.png"), picture(brightness))
    path = tmp_path / "edge.yaml"
    path.write_text(CONFIG.format(bundle=bundle.path))
    return path


def splitsight(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shared.commands", "edge", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_check_says_that_all_is_well(config: Path) -> None:
    done = splitsight("check", "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert "is good: tiny 1.0.0 on onnx" in done.stdout


def test_check_names_a_mistake_and_exits_with_its_code(config: Path) -> None:
    config.write_text(config.read_text().replace("kind: log", "kind: lug"))
    done = splitsight("check", "--config", str(config))
    assert done.returncode == SettingsError.exit_code
    assert 'edge.yaml:12: actuator.kind: "lug" is not one of log' in done.stderr
    assert "Traceback" not in done.stderr


def test_check_finds_a_camera_that_is_not_there(config: Path) -> None:
    config.write_text(config.read_text().replace("path: pictures", "path: nothing"))
    done = splitsight("check", "--config", str(config))
    assert done.returncode == CameraError.exit_code


def test_bench_prints_json_alone_on_standard_output(bundle: Bundle) -> None:
    done = splitsight(
        "bench", "--bundle", str(bundle.path), "--format", "json", "--seconds", "0.02"
    )
    rows = json.loads(done.stdout)
    assert sum(row["chosen"] for row in rows) == 1


def test_run_ends_cleanly_on_sigterm_and_keeps_what_it_decided(config: Path) -> None:
    command = [sys.executable, "-m", "shared.commands", "edge", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stderr is not None
        for line in agent.stderr:
            if "part_rejected" in line:
                break
        os.kill(agent.pid, signal.SIGTERM)
        rest = agent.stderr.read()
        assert agent.wait(20) == 0
    assert "agent_stopped" in rest
    rows = rows_in(config.parent)
    assert {str(row["decided_by"]) for row in rows} == {"edge"}
    assert Counter(row["verdict"] for row in rows)["reject"] >= 1
    assert all(row["total_ms"] is not None for row in rows)


def test_check_tries_the_broker_and_says_what_is_wrong(config: Path, tmp_path: Path) -> None:
    away = splitsight("check", "--config", str(config))
    assert "but broker: 127.0.0.1:1: nothing listens on port 1; start the broker" in away.stdout
    assert away.returncode == 0
    with mosquitto(tmp_path) as port:
        text = config.read_text().replace("broker: {port: 1}", f"broker: {{port: {port}}}")
        ejector = f"  kind: mqtt\n  topic: e\n  broker: {{host: plant..local, port: {port}}}\n"
        config.write_text(text.replace("  kind: log\n", ejector))
        there = splitsight("check", "--config", str(config))
    assert f"broker: 127.0.0.1:{port} answers" in there.stdout
    assert "but ejector: plant..local" in there.stdout
    assert "is no name of a host; check broker.host" in there.stdout


def test_doctor_says_why_a_broker_cannot_be_used(config: Path) -> None:
    command = [sys.executable, "-m", "shared.commands", "doctor", "--config", str(config)]
    told = [*command, "--format", "json"]
    done = subprocess.run(told, capture_output=True, text=True, timeout=60, check=False)
    rows = {row["check"]: row for row in json.loads(done.stdout)}
    assert rows["broker"]["found"] == "127.0.0.1:1: nothing listens on port 1"
    assert rows["broker"]["fix"] == "start the broker, or check broker.port"
