"""What the guides say of plug-ins holds: each example, word for word, in the real product."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import httpx
import pytest

from shared.bundles.bundle import Bundle
from tests.bundles import BAD, GOOD, make_bundle, picture
from tests.cloud.datasets.makers import good_and_bad, part, save
from tests.cloud.makers import DEVICE, batch, row
from tests.cloud.server import Device, Server
from tests.edge.rigs import rows_in
from tests.guides.examples import PROJECT, ROOT, blocks, guides, install, modules
from tests.support.commands import splitsight

pytestmark = pytest.mark.process

EXAMPLES = {
    "camera": "snapshot",
    "actuator": "serial",
    "runtime": "opencv",
    "backbone": "small",
    "page": "late",
    "strategy": "trimmed",
    "fault": "press",
}
"""Each guide, and the name of its example."""
FIELD = "inspection-field"
"""Its example is no kind that a configuration names: every box that has it uses it."""
FILES = {"page": 2}
"""Files of an example's own where it takes more than one, beside the entry point's line."""
BROKEN = {
    "camera": ("def probe(", "def look(", "SnapshotCamera lacks probe"),
    "actuator": ("def stop(", "def halt(", "SerialActuator lacks stop"),
    "runtime": ("def run(", "def compute(", "OpenCvRuntime lacks run"),
    "backbone": ("from torch import", "from no_torch import", "No module named 'no_torch'"),
    "strategy": (
        "lambda chosen: TrimmedMean(chosen.cut)",
        "TrimmedMean.nothing",
        "has no attribute",
    ),
    "fault": ("def begin_at(", "def start_at(", "PressFault lacks begin_at"),
    "page": ('"/late"', '"/api/late"', "the path /api/late is taken"),
}
"""What is changed in an example, and what is said of it then."""
ROUNDS = """\
base: base.npz
folder: run
scope: {from_block: 2}
local: {versions: 1}
privacy: {secure_aggregation: false}
in_process: {data: set/set.csv}
"""
PATIENCE_S = 60.0
TOKEN = "a token of 16 or more"  # noqa: S105


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all examples are installed."""
    packages = {guide: {PROJECT: blocks(guide)[PROJECT], **modules(guide)} for guide in guides()}
    return install(packages, tmp_path_factory.mktemp("packages"))


def broken(guide: str) -> dict[str, str]:
    """The package of a guide under other names, with one mistake in it."""
    plug_in = EXAMPLES[guide]
    before, after, _ = BROKEN[guide]
    files = {PROJECT: blocks(guide)[PROJECT], **modules(guide)}
    module = next(name for name in files if name.endswith(".py")).split("/")[0].split(".")[0]
    found = {}
    for name, text in files.items():
        changed = text.replace(before, after).replace(f'"{plug_in}"', '"broken"')
        changed = changed.replace(f"\n{plug_in} = ", "\nbroken = ")
        changed = changed.replace(module, f"broken_{guide}")
        changed = changed.replace(module.replace("_", "-"), f"broken-{guide}")
        found[name.replace(module, f"broken_{guide}")] = changed
    return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def checks(path: Path) -> dict[str, dict[str, Any]]:
    """What the doctor says, by check."""
    told = splitsight("doctor", "--format", "json", path=path)
    assert told.code == 0, told.stderr
    return {entry["check"]: entry for entry in json.loads(told.stdout)}


def test_there_is_a_guide_for_each_seam_and_a_test_for_each_guide() -> None:
    assert set(guides()) == {*EXAMPLES, FIELD}
    for guide in guides():
        assert len(modules(guide)) == FILES.get(guide, 1)


def test_what_is_wrong_with_a_plug_in_is_said_and_the_others_go_on(
    site: Path, tmp_path: Path
) -> None:
    packages = {guide: broken(guide) for guide in BROKEN}
    beside = f"{site}{os.pathsep}{install(packages, tmp_path)}"
    told = checks(Path(beside))
    for noun, name in EXAMPLES.items():
        # Of those that a box must have there is a row each, else one for all that are well.
        entry = told.get(f"{noun} {name}") or told[f"{noun}s"]
        assert entry["ok"], entry
        assert f"{noun}s" not in told or name in entry["found"].split(", ")
    for guide, (_, _, reason) in BROKEN.items():
        entry = told[f"{guide} broken"]
        assert not entry["ok"]
        assert reason in entry["found"]
        assert entry["fix"]


# ---- camera, runtime and actuator: one box that has all three


class Shutter(BaseHTTPRequestHandler):
    """Answers with a new picture each time, every second one of a bad part."""

    shots = count()

    def do_GET(self) -> None:
        number = next(self.shots)
        pixels = picture(BAD if number % 2 else GOOD)
        pixels[0, 0] = number % 256
        _, encoded = cv2.imencode(".png", pixels)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(encoded.tobytes())

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def snapshots() -> Iterator[str]:
    """The address of a camera."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Shutter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/picture.png"
        server.shutdown()
        thread.join()


@pytest.fixture
def serial() -> Iterator[tuple[int, str]]:
    """A serial port: what a reader hears at its other end, and its device file."""
    here, there = pty.openpty()
    yield here, os.ttyname(there)
    os.close(here)
    os.close(there)


def heard(port: int, lines: int) -> list[str]:
    """So many lines from a serial port."""
    text = ""
    while text.count("\n") < lines:
        ready, _, _ = select.select([port], [], [], PATIENCE_S)
        assert ready, f"only this in {PATIENCE_S} s: {text!r}"
        text += os.read(port, 100).decode()
    return text.splitlines()[:lines]


def box(folder: Path, bundle: Bundle, url: str, port: str) -> Path:
    """A configuration whose sections are those of the guides, but for the places of things."""
    sections = [blocks(guide)["box.yaml"] for guide in ("camera", "actuator", "runtime")]
    text = "".join(sections).replace("http://192.168.1.20/picture.jpg", url)
    text = text.replace("/dev/ttyUSB0", port).replace("every_s: 0.5", "every_s: 0.05")
    config = folder / "box.yaml"
    place = f"site: plant\nline: line\ndevice: box\nbundle: {bundle.path}\nbroker: {{port: 1}}\n"
    config.write_text(place + text)
    return config


def test_a_box_with_a_camera_a_runtime_and_an_actuator_of_others_inspects(
    site: Path, tiny: Bundle, tmp_path: Path, snapshots: str, serial: tuple[int, str]
) -> None:
    hears, port = serial
    config = box(tmp_path, tiny, snapshots, port)
    checked = splitsight("edge", "check", "--config", config, path=site)
    assert "is good: tiny 1.0.0 on opencv" in checked.stdout, checked.stderr
    assert "the camera answers" in checked.stdout
    command = [sys.executable, "-m", "shared.commands", "edge", "run", "--config", str(config)]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(site)}, stderr=subprocess.PIPE
    ) as agent:
        told = [line.split() for line in heard(hears, 2)]
        agent.send_signal(signal.SIGTERM)
        _, said = agent.communicate(timeout=60)
    assert agent.returncode == 0, said
    rows = rows_in(tmp_path)
    assert all(json.loads(str(row["fields"]))["sharpness"] > 0 for row in rows)
    verdicts = {row["part"]: (row["verdict"], row["decided_by"]) for row in rows}
    assert [verdicts[int(part)] for _, part, _ in told] == [("reject", "edge")] * 2
    assert ("pass", "edge") in verdicts.values()
    assert {word for word, _, _ in told} == {"EJECT"}
    assert all(0 <= int(in_ms) <= 500 for _, _, in_ms in told)


def test_a_camera_that_is_away_is_said_by_the_check(
    site: Path, tiny: Bundle, tmp_path: Path
) -> None:
    config = box(tmp_path, tiny, "http://127.0.0.1:1/picture.jpg", "/dev/null")
    checked = splitsight("edge", "check", "--config", config, path=site)
    assert checked.code == 30
    assert "http://127.0.0.1:1/picture.jpg gives no picture" in checked.stderr


def test_a_runtime_is_measured_beside_ours_and_held_against_the_golden_outputs(
    site: Path, tiny: Bundle
) -> None:
    told = splitsight(
        "edge", "bench", "--bundle", tiny.path, "--seconds", "0.01", "--format", "json", path=site
    )
    rows = [entry for entry in json.loads(told.stdout) if entry["runtime"] == "opencv"]
    assert {entry["precision"] for entry in rows} == {"int8", "float32"}
    assert all(entry["max_score_delta"] < 0.01 for entry in rows)
    verified = splitsight("bundle", "verify", tiny.path, "--format", "json", path=site)
    checked = {entry["check"]: entry["ok"] for entry in json.loads(verified.stdout)}
    assert checked["parity of head.onnx on opencv"] is True
    assert checked["parity of tail.onnx on opencv"] is True


# ---- backbone


@pytest.fixture(scope="module")
def trained(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bundle` and its training, on the guide's backbone."""
    folder = tmp_path_factory.mktemp("training")
    data = good_and_bad(folder / "parts", 12, 8)
    shape = ["--backbone", "small", "--split-block", "2", "--dropped-blocks", "0"]
    small = ["--height", "64", "--width", "64", "--epochs", "1", "--tail-epochs", "0"]
    once = ["--bottleneck-epochs", "1", "--threads", "1"]
    where = ["--data", str(data), "--out", str(folder / "bundle"), "--run", str(folder / "run")]
    done = splitsight("cloud", "train", *where, *shape, *small, *once, path=site)
    assert done.code == 0, done.stderr
    return folder


def test_a_bundle_is_trained_on_a_backbone_of_others_and_says_so(trained: Path) -> None:
    manifest = Bundle.open(trained / "bundle").manifest
    assert manifest.architecture["backbone"] == "small"
    assert manifest.split_point == "small after block 2"
    assert manifest.training.weights == "none: it started from noise"


# ---- strategy, on that backbone


def test_rounds_are_mixed_by_a_strategy_of_others(
    site: Path, trained: Path, tmp_path: Path
) -> None:
    base = splitsight(
        "cloud", "base", "--run", trained / "run", "--out", tmp_path / "base.npz", path=site
    )
    assert base.code == 0, base.stderr
    rows = ["image,defect,domain,part,split"]
    for number in range(24):
        plant, bad = number % 3, number % 2 == 1
        save(tmp_path / f"set/{number}.png", part(number, defective=bad))
        rows.append(f"{number}.png,{'blot' if bad else 'good'},plant-{plant},{number},train")
    (tmp_path / "set" / "set.csv").write_text("\n".join(rows))
    config = tmp_path / "rounds.yaml"
    config.write_text(ROUNDS + blocks("strategy")["rounds.yaml"])
    command = ["fleet", "federate", "--config", str(config), "--rounds", "1", "--format", "json"]
    done = splitsight(*command, path=site)
    assert done.code == 0, done.stderr
    (record,) = json.loads(done.stdout)["rounds"]
    assert record["outcome"] == "finished"
    assert len(record["took_part"]) == 3
    hidden = config.read_text().replace("secure_aggregation: false", "secure_aggregation: true")
    config.write_text(hidden)
    refused = splitsight(*command, path=site)
    assert "`trimmed` compares single updates, which secure aggregation hides" in refused.stderr


# ---- fault


def test_a_fault_of_others_happens_in_a_scenario_and_is_over_again(
    site: Path, tmp_path: Path
) -> None:
    scenario = tmp_path / "press.yaml"
    scenario.write_text(blocks("fault")["press.yaml"])
    done = splitsight("sim", "run", scenario, "--format", "json", path=site)
    assert done.code == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(one["what"], one["began"]) for one in report["faults"]] == [
        ("press", True),
        ("press", False),
    ]
    assert report["devices"][0]["parts"] > 0


# ---- page


def test_a_page_of_others_is_served_linked_and_locked(
    site: Path, tiny: Bundle, tmp_path: Path
) -> None:
    api = f"api: {{port: 0, token: {TOKEN}}}"
    with Server(tmp_path, tiny, path=site, more=api) as server:
        device = Device(server, DEVICE)
        device.report(batch(1, row(7, decided_by="deadline", verdict="reject"), row(8)))
        device.stop()
        with httpx.Client(base_url=server.url) as stranger:
            assert stranger.get("/late").status_code == 401
            assert stranger.get("/late", headers={"accept": "text/html"}).status_code == 303
        with httpx.Client(base_url=server.url) as known:
            known.headers["authorization"] = f"Bearer {TOKEN}"
            late = known.get("/late")
            assert '<a href="/late">Late parts</a>' in known.get("/").text
            assert "/late" not in known.get("/api/openapi.json").text
    assert late.status_code == 200
    assert '<th scope="row">7</th>' in late.text
    assert '<th scope="row">8</th>' not in late.text
    assert '<a href="/">Live</a>' in late.text
    assert "default-src 'none'" in late.headers["content-security-policy"]
