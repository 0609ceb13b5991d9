"""Nobody is phoned: on a machine without a way out, nothing looks for one, and nothing is written
outside the folders of whoever runs there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import torch
import yaml

from shared.splitnet.base_network import export_base
from shared.splitnet.network import Architecture, SplitNet
from tests.cloud.datasets.makers import good_and_bad
from tests.fleet.rounds.box import fill
from tests.support.netem import ADDRESSES, NetemNetwork, missing_parts
from tests.system.conftest import BUNDLE

pytestmark = pytest.mark.torch

# onnxruntime's first call came nine seconds after its import; `make soak` watches for a minute.
WATCH_S = os.environ.get("SPLITSIGHT_WATCH_S", "12")
PATIENCE_S = 1800
LOOK_UP = """
import socket
try:
    socket.getaddrinfo("telemetry.example", 443)
except OSError:
    print("not found")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
    plain.sendto(b"hello", ("198.51.100.7", 4000))
open("/var/left-behind", "w").close()
"""


@pytest.fixture
def network() -> Iterator[NetemNetwork]:
    """A machine whose only way leads to the far end, where all is seen and nothing answers."""
    lacking = missing_parts(netem=False)
    if lacking:
        # What the kernel lacks nobody can install: not skipped, which fails in CI, but expected.
        pytest.xfail("; ".join(lacking))
    with NetemNetwork() as network:
        way = ["route", "add", "default", "via", ADDRESSES[1]]
        subprocess.run(["ip", "-n", network.near.name, *way], check=True, timeout=10)
        yield network


class Watch:
    """Entered: the far end is listened to; left: `seen` holds what came there."""

    def __init__(self, network: NetemNetwork) -> None:
        command = [sys.executable, "-m", "tests.support.outgoing", network.far.interface]
        self._command = network.far.command(*command)
        self.seen: list[str] = []

    def __enter__(self) -> Self:
        self._watching = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._watching.stdout is not None
        assert self._watching.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._watching.terminate()
        self.seen = sorted(set(self._watching.communicate(timeout=10)[0].splitlines()))


def sealed(network: NetemNetwork, *arguments: str) -> str:
    """Run a module there, in a mount namespace of its own; what it printed."""
    command = network.near.command("unshare", "--mount", sys.executable, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def prepare(plant: Path) -> None:
    """A cloud, a box with labelled parts, rounds and a data set."""
    plant.mkdir()
    torch.manual_seed(0)
    export_base(SplitNet(Architecture(height=64, width=64), pretrained=False), plant / "base.npz")
    good_and_bad(plant / "parts", 30, 20)
    fill(plant, "box", 0)
    files = {
        "cloud": {
            "bundles": [str(BUNDLE)],
            "embedded_broker": {"enabled": True},
            "runtime": {"name": "openvino", "threads": 1},
        },
        "edge": {
            "site": "plant",
            "line": "hall",
            "device": "box",
            "bundle": str(BUNDLE),
            "camera": {"kind": "folder", "path": "parts/good", "rate": 2, "loop": True},
            "actuator": {"kind": "log"},
            "runtime": {"name": "onnx"},
            "journal": {"path": "box.db", "label_bytes": 16 << 20},
            "learning": {"enabled": True, "min_labels": 4, "priority": "low", "memory_mb": 2048},
        },
        "rounds": {
            "base": "base.npz",
            "folder": "rounds",
            "least_devices": 1,
            "scope": {"from_block": 8},
            "privacy": {"secure": False},
            "mqtt": {"broker": {"port": 1883}},
        },
    }
    for name, content in files.items():
        (plant / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_box_cloud_training_and_learner_speak_to_nobody_and_leave_nothing_behind(
    network: NetemNetwork, tmp_path: Path
) -> None:
    prepare(tmp_path / "plant")
    module = ("-m", "tests.support.silent_plant")
    with Watch(network) as watch:
        found = json.loads(sealed(network, *module, str(tmp_path), ADDRESSES[1], WATCH_S))
    assert watch.seen == []
    assert found["changed"] == []
    assert found["recorded"]
    assert found["codes"] == {"cloud": 0, "box": 0, "rounds": 130, "training": 0, "judging": 0}


def test_the_watch_sees_a_look_up_a_packet_and_a_file(
    network: NetemNetwork, tmp_path: Path
) -> None:
    code = (
        "import subprocess, sys; from pathlib import Path;"
        "from tests.support.sealed import SealedMachine;"
        f"machine = SealedMachine(Path({str(tmp_path)!r}), {ADDRESSES[1]!r});"
        f"inside = [sys.executable, '-c', {LOOK_UP!r}];"
        "subprocess.run(machine.command(*inside, folder=Path('/')), check=True);"
        "print(machine.changed(Path('/srv')))"
    )
    with Watch(network) as watch:
        assert sealed(network, "-c", code).splitlines() == ["not found", "['/var/left-behind']"]
    assert watch.seen == ["looked up telemetry.example", "protocol 17 to 198.51.100.7, port 4000"]
