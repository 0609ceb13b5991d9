"""`splitsight fleet federate` as a user runs it, on the split network itself."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from fleet.rounds.configuration.settings import PromiseSettings
from shared.certification.certificate import PromiseLimits
from shared.federation.base_network import BaseNetwork
from shared.loopback import free_port
from shared.splitnet.base_network import export_base
from shared.splitnet.network import Architecture, SplitNet
from tests.cloud.datasets.makers import part, save
from tests.support.commands import splitsight

pytestmark = pytest.mark.torch

CONFIG = """\
base: base.npz
folder: run
scope:
  from_block: 8
  encoder: {encoder}
local:
  versions: 1
in_process:
  data: set/splits.csv
"""
SHAPE = Architecture(height=64, width=64)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two plants with eight labelled parts each, and one that nobody has labelled a defect in."""
    torch.manual_seed(0)
    export_base(SplitNet(SHAPE, pretrained=False), tmp_path / "base.npz")
    rows: list[list[str]] = []
    for plant, defective in (("north", 4), ("south", 4), ("west", 0)):
        for number in range(8):
            bad = number < defective
            seed = number + 100 * len(rows)
            image = save(tmp_path / f"set/{plant}-{number}.png", part(seed, defective=bad))
            split = "train" if number % 4 else "test"
            defect = "blot" if bad else "good"
            rows.append([image.name, defect, plant, f"{plant}{number}", split])
    with (tmp_path / "set/splits.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["image", "defect", "domain", "part", "split"], *rows])
    path = tmp_path / "rounds.yaml"
    path.write_text(CONFIG.format(encoder="true"))
    return path


@pytest.mark.process
def test_a_dry_run_lists_labels_by_class_and_domain_and_says_why_not(config: Path) -> None:
    ended = splitsight("fleet", "federate", "--config", config, "--dry-run")
    assert ended.code == 0, ended.stderr
    assert "north: 3 good, 3 bad" in ended.stdout
    assert "no: one class only" in ended.stdout
    told = splitsight("fleet", "federate", "--config", config, "--dry-run", "--format", "json")
    rows = {row["device"]: row for row in json.loads(told.stdout)}
    assert rows["south"] == {
        "device": "south",
        "takes_part": True,
        "reason": "",
        "good": {"south": 3},
        "defective": {"south": 3},
        "held_out": 2,
    }
    assert (rows["west"]["takes_part"], rows["west"]["reason"]) == (False, "one class only")
    assert not (config.parent / "run").exists()


@pytest.mark.process
def test_rounds_end_in_a_network_whose_last_layers_have_changed(config: Path) -> None:
    command = ("fleet", "federate", "--config", config, "--rounds", "2", "--format", "json")
    ended = splitsight(*command)
    assert ended.code == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert [one["outcome"] for one in report["rounds"]] == ["finished", "finished"]
    first = report["rounds"][0]
    assert [one["device"] for one in first["took_part"]] == ["north", "south"]
    assert first["aside"] == [{"device": "west", "reason": "one class only"}]
    assert "round 2 finished: 2 devices" in ended.stderr
    folder = config.parent
    base = BaseNetwork.read(folder / "base.npz")
    result = BaseNetwork.read(folder / "run/network.npz")
    changed = {
        name.split(".")[1] + "." + name.split(".")[2]
        for name, array in base.arrays.items()
        if not np.array_equal(array, result.arrays[name])
    }
    assert {"blocks.8", "encoder.0"} <= changed
    assert not {f"blocks.{n}" for n in range(8)} & changed
    assert result.architecture == base.architecture
    again = splitsight(*command)
    assert json.loads(again.stdout) == report


@pytest.mark.process
def test_sixteen_bits_a_trained_value_and_a_little_travel_each_way(config: Path) -> None:
    config.write_text(CONFIG.format(encoder="false") + "privacy:\n  secure_aggregation: false\n")
    ended = splitsight("fleet", "federate", "--config", config, "--rounds", "1", "--format", "json")
    assert ended.code == 0, ended.stderr
    (record,) = json.loads(ended.stdout)["rounds"]
    arrays = BaseNetwork.read(config.parent / "base.npz").arrays
    trained = sum(
        array.size
        for name, array in arrays.items()
        if name.startswith(("head.blocks.8.", "head.map_")) and ".running_" not in name
        and not name.endswith("num_batches_tracked")
    )  # fmt: skip
    # Queries and counts are in it too.
    assert record["bytes_down"] < 1.2 * 2 * trained
    assert record["bytes_up"] < 1.2 * 2 * trained


@pytest.mark.process
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("least_device: 3", "rounds.yaml:10: least_device is not a setting (did you mean"),
        ("share: 2", "rounds.yaml:10: share: input should be less than or equal to 1 (found 2)"),
        (
            "release: {bundle: b, promise: {escapes: 0.03, system: 0.02}}",
            "release.promise.system: edge and cloud together can't let through 0.02, the edge",
        ),
        (
            "release: {bundle: b, promise: {system: 1.5}}",
            "release.promise.system: input should be less than 1 (found 1.5)",
        ),
        (
            "release: {bundle: b, promise: {escapes: 0.7}}",
            "release.promise.escapes: input should be less than 0.5 (found 0.7)",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(config: Path, line: str, wanted: str) -> None:
    config.write_text(config.read_text() + line + "\n")
    ended = splitsight("fleet", "federate", "--config", config)
    assert ended.code == 10
    assert "error: 1 mistake in" in ended.stderr
    assert wanted in ended.stderr


def test_the_system_may_let_through_twice_what_the_edge_may_unless_said() -> None:
    assert PromiseSettings().limits.system == 0.04
    assert PromiseSettings(escapes=0.3).limits.system == 0.6
    assert PromiseSettings(escapes=0.3, system=0.4).limits == PromiseLimits(0.3, 0.05, 0.4, 0.05)


@pytest.mark.process
def test_a_base_that_is_none_and_data_that_is_none_are_refused_by_name(config: Path) -> None:
    base = config.parent / "base.npz"
    whole = base.read_bytes()
    base.write_bytes(whole[:1000])
    cut = splitsight("fleet", "federate", "--config", config)
    assert cut.code == 90
    assert "base.npz is no base network" in cut.stderr
    base.write_bytes(whole)
    (config.parent / "set/splits.csv").unlink()
    gone = splitsight("fleet", "federate", "--config", config)
    assert gone.code == 50
    assert "splits.csv can't be read" in gone.stderr


@pytest.mark.process
def test_an_app_for_flowers_own_engine_is_written_and_never_over_another(config: Path) -> None:
    folder = config.parent / "app"
    command = ("fleet", "federate", "--config", config, "--rounds", "7", "--grid", "superlink")
    lacking = splitsight(*command)
    assert (lacking.code, "--write-app" in lacking.stderr) == (10, True)
    written = splitsight(*command, "--write-app", folder)
    assert written.code == 0, written.stderr
    project = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert project["components"] == {"serverapp": "coordinating:app", "clientapp": "learning:app"}
    assert project["config"] == {
        "config": str(config.resolve()),
        "rounds": 7,
        "seed": 0,
    }
    again = splitsight(*command, "--write-app", folder)
    assert (again.code, "choose an empty folder" in again.stderr) == (10, True)


@pytest.mark.process
def test_a_broker_that_is_not_there_is_named(config: Path) -> None:
    text = config.read_text().partition("in_process:")[0]
    config.write_text(text + f"mqtt: {{broker: {{port: {free_port()}}}}}\n")
    ended = splitsight("fleet", "federate", "--config", config, "--dry-run")
    assert (ended.code, "broker did not answer" in ended.stderr) == (90, True)


def test_what_the_last_release_wanted_still_works_and_is_told_in_a_line(config: Path) -> None:
    config.write_text(CONFIG.format(encoder="false") + "proximal: 0.5\nprivacy: {secure: false}\n")
    command = ("fleet", "federate", "--rounds", "1", "--format", "json", "--config")
    old = splitsight(*command, config, "--strategy", "fedprox")
    assert old.code == 0, old.stderr
    told = [line for line in old.stderr.splitlines() if "old_spelling" in line]
    assert len(told) == 2
    assert "--strategy, proximal" in told[0]
    assert "strategy: {'kind': 'fedprox', 'mu': 0.5}" in told[0]
    assert "privacy.secure_aggregation" in told[1]
    today = config.with_name("today.yaml")
    today.write_text(
        CONFIG.format(encoder="false")
        + "strategy: {kind: fedprox, mu: 0.5}\nprivacy: {secure_aggregation: false}\n"
    )
    again = splitsight(*command, today)
    assert "old_spelling" not in again.stderr
    assert json.loads(again.stdout) == json.loads(old.stdout), "it goes on with the same run"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("strategy: {kind: fedprx}", '10: strategy.kind: "fedprx" is not one of fedadam, fedavg'),
        ("strategy: {kind: fedavg, mu: 1}", "10: strategy.mu is not a setting"),
        ("strategy: {kind: fedprox, mu: -1}", "10: strategy.mu: input should be greater than or"),
        ("strategy: {kind: fedprox}\nproximal: 1", "11: proximal is not a setting"),
    ],
)
def test_a_wrong_strategy_is_named_with_its_line(config: Path, line: str, wanted: str) -> None:
    config.write_text(config.read_text() + line + "\n")
    ended = splitsight("fleet", "federate", "--config", config)
    assert ended.code == 10
    assert f"rounds.yaml:{wanted}" in ended.stderr
