"""What judges a bundle reads a data set as training does: damage is named, or left out and told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cloud.cli import app
from shared.bundles.bundle import Bundle
from shared.errors import DataError, SettingsError
from tests.bundles import make_bundle
from tests.cloud.datasets.makers import good_and_bad
from tests.cloud.evaluation.test_certification import PARTS, bundle_of, parts_of

DAMAGED = "crack-calibrate-7.png"
LEFT = 2 * PARTS - 1
COMMANDS = {
    "evaluate": ("evaluate", "--runtime", "onnx"),
    "certify": ("certify", "--runtime", "onnx", "--escape", "0.1", "--false-reject", "0.1"),
    "parity": ("parity",),
    "dispute": ("data", "dispute", "--runtime", "onnx"),
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts that are named, of which one picture is cut off."""
    folder = tmp_path_factory.mktemp("reading") / "plant"
    rows = [
        "image,defect,part,split",
        *parts_of(folder, "good", range(60, 60 + PARTS)),
        *parts_of(folder, "crack", range(135, 135 + PARTS)),
        *parts_of(folder, "good", range(60, 70), split="train"),
        *parts_of(folder, "crack", range(150, 160), split="train"),
    ]
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def bundle(tmp_path: Path, plant: Path) -> Bundle:
    return bundle_of(tmp_path / "bundle", plant)


@pytest.fixture(scope="module")
def damaged(plant: Path) -> Path:
    data = Path(shutil.copytree(plant, plant.with_name("damaged")))
    whole = (data / DAMAGED).read_bytes()
    (data / DAMAGED).write_bytes(whole[: len(whole) // 2])
    return data


def invoke(name: str, bundle: Bundle, data: Path, *more: str | Path) -> Result:
    asked = (*COMMANDS[name], "--bundle", bundle.path, "--data", data, "--format", "json", *more)
    return CliRunner().invoke(app, [*map(str, asked)], env={"COLUMNS": "400"})


def pictures(name: str, told: Any) -> int:
    """How many were judged, as the command's JSON says it."""
    if name == "parity":
        return int(told[0]["pictures"])
    if name == "certify":
        return int(told["certificate"]["pictures"])
    return int(told["n_images" if name == "evaluate" else "pictures"])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_damaged_picture_is_refused_by_name_and_can_be_left_out(
    name: str, bundle: Bundle, damaged: Path
) -> None:
    refused = invoke(name, bundle, damaged, "--split", "calibrate")
    assert isinstance(refused.exception, DataError)
    assert DAMAGED in str(refused.exception)
    assert "--skip-bad" in str(refused.exception)
    judged = invoke(name, bundle, damaged, "--split", "calibrate", "--skip-bad")
    assert judged.exit_code == 0, judged.exception
    assert pictures(name, json.loads(judged.stdout)) == LEFT
    assert f"bad, left out: {damaged / DAMAGED}" in judged.stderr
    assert "left out" not in judged.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_format_and_a_rule_that_do_not_exist_are_refused_as_in_training(
    name: str, bundle: Bundle, plant: Path
) -> None:
    other = invoke(name, bundle, plant, "--data-format", "papyrus")
    assert isinstance(other.exception, SettingsError)
    assert "no data format 'papyrus'" in str(other.exception)
    rule = invoke(name, bundle, plant, "--same-part", "often")
    assert isinstance(rule.exception, SettingsError)
    assert "--same-part is 'often'" in str(rule.exception)


def test_near_identical_pictures_are_kept_apart_where_training_kept_them_apart(
    tmp_path: Path,
) -> None:
    data = good_and_bad(tmp_path / "parts", 12, 8)
    for copied in sorted((data / "good").iterdir()):
        twin = copied.with_name(f"{copied.stem}-again.png")
        # What follows a PNG's end is no part of the picture, but of the file.
        twin.write_bytes(copied.read_bytes() + b"again")
    bundle = make_bundle(tmp_path / "bundle")
    asked = ("--data-format", "folders", "--split", "train")
    told = {
        rule: json.loads(invoke("evaluate", bundle, data, *asked, "--same-part", rule).stdout)
        for rule in ("auto", "never")
    }
    assert told["auto"]["n_parts"] < told["auto"]["n_images"]
    assert told["never"]["n_parts"] == told["never"]["n_images"]
