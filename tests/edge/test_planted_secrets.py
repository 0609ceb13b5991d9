"""A password in a camera's address is read nowhere: not in a check, a log or a retained state."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge.actuator.base import RecordingActuator
from edge.box import CameraBox
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from shared.errors import CameraError
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from tests.edge.test_box import settings_for
from tests.support.planted import PLANTED, RTSP

CONFIG = """\
site: plant
line: line
device: box
bundle: {bundle}
broker: {{port: 1, username: me, password: {planted}}}
camera: {{kind: rtsp, url: '{url}'}}
actuator: {{kind: log}}
runtime: {{name: onnx}}
"""


@pytest.mark.process
@pytest.mark.parametrize("url", RTSP.values(), ids=RTSP)
def test_a_check_tells_no_secret(tmp_path: Path, bundle: Bundle, url: str) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text(CONFIG.format(bundle=bundle.path, url=url, planted=PLANTED))
    command = [sys.executable, "-m", "shared.commands", "edge", "check", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == CameraError.exit_code, done.stderr
    assert PLANTED not in done.stdout + done.stderr


@pytest.mark.process
def test_the_doctor_tells_no_secret(tmp_path: Path, bundle: Bundle) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text(CONFIG.format(bundle=bundle.path, url=RTSP["path"], planted=PLANTED))
    command = [sys.executable, "-m", "shared.commands", "doctor", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert PLANTED not in done.stdout + done.stderr


@pytest.mark.parametrize("url", RTSP.values(), ids=RTSP)
def test_a_running_box_tells_no_secret(
    tmp_path: Path, bundle: Bundle, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    broker = MemoryBroker()
    listener = broker.transport()
    told: list[bytes] = []
    tried = threading.Event()

    def hear(delivery: Delivery) -> None:
        told.append(delivery.topic.encode() + delivery.payload)
        if b"retrying" in delivery.payload:
            tried.set()

    listener.subscribe("#", hear)
    listener.start()
    settings = settings_for(tmp_path, bundle, camera={"kind": "rtsp", "url": url, "every_ms": 20})
    actuator = RecordingActuator()
    box = CameraBox(settings, SystemClock(), transport=broker.transport(), actuator=actuator)
    running = threading.Thread(target=box.run)
    running.start()
    try:
        assert tried.wait(30), told
    finally:
        box.stop()
        running.join(30)
    out, err = capfd.readouterr()
    assert "camera_lost" in err + out
    assert PLANTED not in out + err
    assert PLANTED.encode() not in b"".join(told)
    assert PLANTED not in str(box.health.problems)
