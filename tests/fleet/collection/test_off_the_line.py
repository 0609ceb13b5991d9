"""`splitsight fleet collect` against a real box, broker and cloud, also where it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import pytest

from cloud.datasets.readers import read
from hardware_sim.processes.child import splitsight as command_of
from shared.errors import DataError
from tests.browser.test_part import SIDE, Box
from tests.bundles import make_bundle
from tests.cloud.server import PATIENCE_S, Server
from tests.support.commands import splitsight
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PARTS = 24


class LivePlant:
    """A cloud that knows PARTS parts of a box, which is still there and gives their pictures."""

    def __init__(self, server: Server, box: Box) -> None:
        self.server = server
        self.box = box

    def parts(self, **wanted: str) -> list[dict[str, Any]]:
        path = f"{self.server.url}/api/v1/inspections"
        asked = {"limit": "500", **wanted}
        found: list[dict[str, Any]] = httpx.get(path, params=asked, timeout=30).json()[
            "inspections"
        ]
        return found

    def command(self, folder: Path, *more: str) -> list[str]:
        where = ["--cloud", self.server.url, "--out", str(folder)]
        return ["fleet", "collect", *where, "--format", "json", *more]

    def collect(self, folder: Path, *more: str) -> dict[str, Any]:
        ended = splitsight(*self.command(folder, *more))
        assert ended.code == 0, ended.stderr
        report: dict[str, Any] = json.loads(ended.stdout)
        return report


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePlant]:
    folder = tmp_path_factory.mktemp("plant")
    bundle = make_bundle(folder / "tiny", height=SIDE, width=SIDE)
    with Server(folder, bundle) as server:
        box = Box(tmp_path_factory.mktemp("box"), server)
        box.start()
        plant = LivePlant(server, box)
        try:
            wait_until(lambda: len(plant.parts()) >= PARTS, "parts", within_s=120)
            yield plant
        finally:
            box.stop()


def test_pictures_of_a_running_line_become_a_set_that_training_reads(
    plant: LivePlant, tmp_path: Path
) -> None:
    folder = tmp_path / "collected"
    chosen = ("--keep", "uncertain", "--last", "1h", "--device", "box-1", "--max", "5")
    first = plant.collect(folder, *chosen)
    assert (first["found"], first["fetched"], first["unlabelled"]) == (5, 5, 5)
    lines = (folder / "lineage.jsonl").read_text().splitlines()
    one, other = (json.loads(line) for line in lines[:2])
    # The box shows one picture over and over: they are alike, so both are called the same.
    for part in (one, other):
        path = f"inspections/{part['device']}/{part['boot']}/{part['sequence']}/review"
        said = {"verdict": "reject", "kind": "scratch", "inspector": "ada"}
        assert httpx.put(f"{plant.server.url}/api/v1/{path}", json=said, timeout=30).is_success
    again = plant.collect(folder, "--keep", "labelled", "--last", "1h")
    assert (again["labelled"], again["unlabelled"], again["fetched"]) == (2, 3, 0)
    dataset = read(str(folder))
    assert sorted(one.defect for one in dataset.samples) == ["scratch", "scratch"]
    for sample in dataset.samples:
        pixels = cv2.imread(str(sample.image), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        assert pixels.shape == (SIDE, SIDE)


def test_a_run_that_is_killed_leaves_whole_pictures_and_the_next_one_goes_on(
    plant: LivePlant, tmp_path: Path
) -> None:
    folder = tmp_path / "collected"
    chosen = ("--keep", "all", "--last", "1h", "--max", "12")
    process = subprocess.Popen(
        command_of(*plant.command(folder, *chosen)), stdout=subprocess.DEVNULL
    )
    pictures = folder / "pictures" / "box-1"
    wait_until(lambda: len(list(pictures.glob("*.png"))) >= 2, "two pictures", within_s=120)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)
    assert not (folder / "manifest.csv").exists()
    there = len((folder / "lineage.jsonl").read_text().splitlines())
    for path in pictures.glob("*.png"):
        assert cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) is not None
    report = plant.collect(folder, "--keep", "all", "--last", "1h", "--max", "500")
    assert report["there"] >= there >= 1
    assert report["fetched"] == report["found"] - report["there"]
    assert report["refused"] == {}
    assert not list(folder.rglob("*.partial"))


def test_a_full_disk_is_named_and_the_next_run_goes_on_on_another(
    plant: LivePlant, tmp_path: Path
) -> None:
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    chosen = ("--keep", "all", "--last", "1h", "--max", "40")
    script = 'mount -t tmpfs -o size=128k tmpfs "$0" && "$@"; c=$?; cp -r "$0" "$OUT"; exit $c'
    command = command_of(*plant.command(small / "collected", *chosen))
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, small, *command],
        env={**os.environ, "OUT": str(kept), "COLUMNS": "400", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S * 3,
    )
    if os.geteuid() != 0 or "unshare failed" in ended.stderr:
        # What the kernel refuses nobody can install.
        pytest.xfail("no disk of its own can be made here")
    assert ended.returncode == DataError.exit_code, ended.stderr
    assert "can't be written (No space left on device)" in ended.stderr
    assert "it goes on where it stopped" in ended.stderr
    assert "Traceback" not in ended.stderr
    folder = kept / "collected"
    pictures = list(folder.rglob("*.png"))
    assert pictures
    for path in pictures:
        assert cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) is not None, path
    report = plant.collect(folder, *chosen[:4], "--max", "500")
    assert report["there"] >= len(pictures) - 1
    assert report["fetched"] == report["found"] - report["there"]


def test_a_box_that_has_left_is_told_to_people_with_what_to_do(
    plant: LivePlant, tmp_path: Path
) -> None:
    plant.box.stop()
    devices = f"{plant.server.url}/api/v1/devices"
    wait_until(
        lambda: httpx.get(devices, timeout=30).json()[0]["state"] != "online", "the box is away"
    )
    where = ["--cloud", plant.server.url, "--out", str(tmp_path / "collected")]
    ended = splitsight("fleet", "collect", *where, "--keep", "all", "--last", "1h", "--max", "3")
    assert ended.code == 0, ended.stderr
    assert "3 parts fit: 0 pictures came" in ended.stdout
    assert "its box is away" in ended.stdout
    assert "3 may come later: run this again" in ended.stdout
    plant.box.start()
