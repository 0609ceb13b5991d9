"""`splitsight cloud data check`: every file accounted for, and whether training can begin."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cloud.datasets.cli import app
from shared.errors import DataError
from tests.cloud.datasets.makers import good_and_bad, part, save


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)], env={"COLUMNS": "80"})


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    root = good_and_bad(tmp_path / "parts", 30, 20)
    (root / "notes.txt").write_text("of May")
    (root / "good" / ".ipynb_checkpoints").mkdir()
    save(root / "good" / ".ipynb_checkpoints" / "000-checkpoint.png", part(1))
    return root


def test_every_file_is_used_or_left_out_with_why(plant: Path) -> None:
    ended = check(plant, "--format", "json")
    assert ended.exit_code == 0, ended.exception
    told = json.loads(ended.stdout)
    assert told["files"] == {"picture": 50, "left out": 2}
    assert {Path(one["path"]).name: one["why"] for one in told["left_out"]} == {
        "notes.txt": "no part of this format",
        "000-checkpoint.png": "hidden, or of the operating system",
    }
    assert told["sizes"] == {"64 × 64": 50}
    assert told["depths"] == {"8 bit grey": 50}
    assert sum(row["train"] + row["calibrate"] + row["test"] for row in told["kinds"]) == 50


def test_people_read_it_at_80_columns(plant: Path) -> None:
    ended = check(plant)
    assert ended.exit_code == 0, ended.exception
    assert "read as folders: files used: 50 picture; left out: 2" in ended.stdout
    assert "1 no part of this format (notes.txt)" in ended.stdout
    assert "few: the gate is chosen on" in ended.stdout


def test_a_report_shows_samples_of_each_kind_and_split(plant: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    ended = check(plant, "--report", report)
    assert ended.exit_code == 0, ended.exception
    sheet = cv2.imread(str(report / "contact-sheet.png"))
    assert sheet is not None
    assert sheet.shape[0] % 6 == 0
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "notes.txt" in page
    assert "data:image/png;base64," in page


def test_what_cannot_be_trained_on_ends_in_advice(tmp_path: Path) -> None:
    ended = check(good_and_bad(tmp_path, 12, 0))
    assert isinstance(ended.exception, DataError)
    assert "--good-only" in str(ended.exception)
    assert check(tmp_path, "--good-only").exit_code == 0


def test_a_bad_file_is_named_and_can_be_left_out(plant: Path) -> None:
    (plant / "good" / "004.png").write_bytes(b"no picture")
    ended = check(plant)
    assert isinstance(ended.exception, DataError)
    assert "good/004.png" in str(ended.exception)
    skipped = check(plant, "--skip-bad")
    assert skipped.exit_code == 0, skipped.exception
    assert "bad, left out" in skipped.stdout
    assert "files used: 49 picture" in skipped.stdout
