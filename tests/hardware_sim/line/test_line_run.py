"""A line in real time: with a real agent at its camera, and from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.actuator.mqtt import MqttActuator, MqttActuatorSettings
from edge.box import CameraBox
from edge.configuration.settings import settings_model
from hardware_sim.line.cli import line
from hardware_sim.line.control import LineControl
from hardware_sim.line.conveyor import LineSettings
from hardware_sim.line.drawing.parts import DrawingSettings
from hardware_sim.line.ejector import CELLS, TruthTable
from hardware_sim.line.run import DEFAULT_TOPIC, CommandSettings, LineRun, LineRunSettings
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from shared.errors import SettingsError
from shared.settings import load_settings
from shared.topics import everyone, parse
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.wire import Inspections, Receipt, decode, encode
from tests.bundles import make_bundle
from tests.support.waiting import wait_until

PARTS = 8
# Ten parts a second, with more than a second for each verdict.
QUICK = LineSettings(
    speed=2.0, pitch=0.2, part_length=0.1, trigger_at=0.1, camera_at=0.1, ejector_at=2.6
)
SMALL = DrawingSettings(height=64, width=64)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


class Storage:
    """A cloud that stores what devices decided, and says so."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._transport = broker.transport()
        self._transport.subscribe(everyone("inspections"), self._store)
        self._transport.start()

    def _store(self, delivery: Delivery) -> None:
        batch, _ = decode(delivery.payload, Inspections)
        address, _ = parse(delivery.topic)
        receipt = Receipt(batch.boot, batch.batch)
        self._transport.publish(address.topic("receipt"), encode(receipt))


def a_box(folder: Path, bundle: Bundle, socket: Path, broker: MemoryBroker) -> CameraBox:
    """The product's own agent: only its broker is one in memory."""
    settings = settings_model().model_validate(
        {
            "site": "plant",
            "line": "line",
            "device": "box",
            "bundle": bundle.path,
            "camera": {"kind": "line", "socket": socket},
            "actuator": {"kind": "mqtt", "topic": DEFAULT_TOPIC},
            "runtime": {"name": "onnx"},
            "deadline_ms": 900,
            "journal": {"path": folder / "journal.db"},
        }
    )
    clock = SystemClock()
    told = MqttActuatorSettings(topic=DEFAULT_TOPIC)
    actuator = MqttActuator(told, broker.transport(), clock)
    return CameraBox(settings, clock, transport=broker.transport(), actuator=actuator)


def test_an_agent_inspects_a_simulated_line_and_its_verdicts_reach_the_ejector(
    tmp_path: Path, bundle: Bundle
) -> None:
    socket, broker = tmp_path / "line.sock", MemoryBroker()
    Storage(broker)
    settings = LineRunSettings(
        seed=3, parts=PARTS, drawing=SMALL, line=QUICK, commands=CommandSettings()
    )
    run = LineRun(settings, SystemClock(), socket=socket, transport=broker.transport())
    box = a_box(tmp_path, bundle, socket, broker)
    agent = threading.Thread(target=box.run, daemon=True)
    agent.start()
    left = list(run.settled(await_camera=True))
    agent.join(30)
    assert not agent.is_alive()
    table = run.report().table
    assert table.parts == PARTS == len(left)
    assert (table.no_verdict, table.wrong_part, table.late, table.stray) == (0, 0, 0, 0)
    by_part = {settled.outcome.passage.part: settled for settled in left}
    for sent in (d for d in broker.published if d.topic == DEFAULT_TOPIC):
        told = json.loads(sent.payload)
        assert by_part[told["part"]].outcome.verdict == told["verdict"]


def test_commands_that_nobody_understands_do_not_stop_the_ejector() -> None:
    settings = LineRunSettings(drawing=SMALL, commands=CommandSettings())
    run = LineRun(settings, SystemClock(), transport=MemoryBroker().transport())
    run.hear(Delivery(DEFAULT_TOPIC, b"kick it"))
    run.hear(Delivery(DEFAULT_TOPIC, b'{"part": 3, "verdict": "pass", "in_ms": 5}'))
    assert run.report().table == TruthTable(stray=1)


def test_a_run_that_waits_for_a_camera_can_be_stopped(tmp_path: Path) -> None:
    settings = LineRunSettings(drawing=SMALL, line=QUICK)
    run = LineRun(settings, SystemClock(), socket=tmp_path / "line.sock")
    run.stop()
    assert list(run.settled(await_camera=True)) == []
    assert not (tmp_path / "line.sock").exists()


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "shared.commands", "sim", "line", *options]


@pytest.mark.process
def test_the_command_prints_the_truth_table_and_a_row_a_part(tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes.jsonl"
    config = tmp_path / "line.yaml"
    config.write_text("line: {speed: 4, part_length: 0.05}\ndrawing: {surface: cloth}\n")
    options = ["--config", str(config), "--parts", "3", "--side", "64", "--pitch", "0.1"]
    done = subprocess.run(
        command(*options, "--rate", "1", "--outcomes", str(outcomes), "--format", "json"),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    report = json.loads(done.stdout)
    assert report["deadline_ms"] == pytest.approx(105.0)
    assert report["table"]["no_verdict"] == report["table"]["parts"] == 3
    rows = [json.loads(row) for row in outcomes.read_text().splitlines()]
    assert [row["part"] for row in rows] == [1, 2, 3]
    assert all(row["cell"] in CELLS and row["defect"] != "good" for row in rows)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    socket = tmp_path / "line.sock"
    options = ["--socket", str(socket), "--side", "64", "--await-camera", "--format", "json"]
    process = subprocess.Popen(command(*options), stdout=subprocess.PIPE, text=True)
    yield process, socket
    process.kill()
    process.communicate()


@pytest.mark.process
def test_a_line_answers_controls_and_ends_cleanly_when_asked(
    endless: tuple[subprocess.Popen[str], Path],
) -> None:
    process, socket = endless
    wait_until(lambda: socket.exists() or process.poll() is not None, "the line's socket")
    control = LineControl(socket)
    control.burst(2)
    assert control.state().burst == 2
    os.kill(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(output)["table"]["parts"] == 0
    assert not socket.exists()


def test_a_sheet_is_drawn_instead_of_a_run(tmp_path: Path) -> None:
    line(surface="circuit", side=64, sheet=tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] > 6 * 256


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"surface": "gold"}, "drawing.surface: input should be 'metal'"),
        ({"speed": 0.0, "pitch": -1.0}, "2 mistakes in the options"),
        ({"ejector_at": 0.05}, "line.ejector_at: must lie behind the camera"),
        ({"rate": 2.0}, "must stay within 0 to 1"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0"),
        ({"parts": 0}, "parts: input should be greater than or equal to 1"),
        ({"broker": "localhost"}, "--broker is 'localhost'; give HOST:PORT"),
        ({"broker": "h:99999"}, "--broker is 'h:99999'; give HOST:PORT.*up to 65535"),
        ({"rtsp": "8554"}, "--rtsp is '8554'; give HOST:PORT"),
        ({"topic": "a/#"}, "commands.topic"),
        ({"data": "elpv", "rate": 0.5}, "are about drawn parts; --data brings its own"),
        ({"split": "test"}, "--split is about a data set"),
        ({"await_camera": True}, "waits for ever; add --socket"),
        ({"outcomes": Path("/nowhere/rows.jsonl"), "parts": 1}, "can't be written .*--outcomes"),
        ({"config": Path("/nowhere.yaml")}, "can't be read"),
    ],
)
def test_each_wrong_option_is_one_clear_error(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        line(**options)


def test_a_configuration_names_file_and_line_of_each_mistake(tmp_path: Path) -> None:
    config = tmp_path / "line.yaml"
    config.write_text("line:\n  speed: 1\n  pitch: 0\nejector:\n  aim: luck\n")
    with pytest.raises(SettingsError) as raised:
        load_settings(config, LineRunSettings)
    assert "line.yaml:3: line.pitch: must be above 0" in str(raised.value)
    assert "line.yaml:5: ejector.aim" in str(raised.value)
