"""The command `splitsight`: exit codes, one-line errors, JSON alone on standard output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from shared.bundles.bundle import Bundle
from shared.bundles.cli import app as bundle_app
from shared.bundles.cli import verification
from shared.bundles.manifest import CODEC, HEAD, MANIFEST, REQUIRED, TAIL
from shared.commands.root import run
from shared.errors import BundleMismatch, CheckFailed, SettingsError, SplitsightError
from shared.runtime.base import RUNTIMES
from tests.support.commands import splitsight


def raising(error: BaseException) -> Any:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("bad"), 10),
        (BundleMismatch("bad"), 21),
        (CheckFailed("bad"), 61),
        (SplitsightError("bad"), 1),
        (click.UsageError("bad"), 2),
        (click.exceptions.Exit(7), 7),
        (click.exceptions.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
        (ZeroDivisionError("bad"), 1),
    ],
)
def test_every_end_has_its_exit_code(error: BaseException, code: int) -> None:
    assert run(raising(error)) == code
    assert run(lambda: None) == 0


@pytest.mark.parametrize(
    ("error", "code"), [(typer.Exit(7), 7), (KeyboardInterrupt(), 130), (typer.Abort(), 130)]
)
def test_what_ends_a_real_command_is_its_exit_code(error: BaseException, code: int) -> None:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        raise error

    assert run(lambda: app([], standalone_mode=False)) == code


def test_an_error_is_told_with_its_remedy_and_without_passwords(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(raising(SettingsError("no [bold]answer from rtsp://a:b@host", fix="mend [it]")))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: no [bold]answer from rtsp://***@host\n  do: mend [it]\n"


def test_a_mistake_of_ours_shows_its_trace_and_asks_for_a_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(raising(ZeroDivisionError("surprise")))
    said = capsys.readouterr().err
    assert "ZeroDivisionError: surprise" in said
    assert "please report it" in said


@pytest.mark.process
def test_help_lists_every_group_and_the_roots_own_commands() -> None:
    ended = splitsight("--help")
    assert ended.code == 0
    for name in ("bundle", "doctor", "edge", "cloud", "fleet", "sim", "demo"):
        assert f" {name} " in ended.stdout


@pytest.mark.process
def test_a_command_that_does_not_exist_is_a_usage_error() -> None:
    ended = splitsight("fly")
    assert ended.code == 2
    assert "No such command 'fly'" in ended.stderr
    assert ended.stdout == ""


@pytest.fixture
def ghost(tmp_path: Path) -> Path:
    """A package whose command group needs what is not installed."""
    folder = tmp_path / "ghost-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ghost\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[splitsight.groups]\nghost = ghost_cli:app\n")
    (tmp_path / "ghost_cli.py").write_text("import ectoplasm\n")
    return tmp_path


@pytest.mark.process
def test_a_group_whose_extra_is_missing_says_so_in_one_line(ghost: Path) -> None:
    ended = splitsight("ghost", "haunt", "--house", "3", path=ghost)
    assert ended.code == 11
    assert ended.stderr.splitlines() == [
        "error: this needs the extra `ghost` (ectoplasm is not installed)",
        "  do: pip install 'splitsight[ghost]'",
    ]
    listed = splitsight("--help", path=ghost)
    assert listed.code == 0
    assert "this needs the extra `ghost`" in listed.stdout


@pytest.mark.process
def test_a_command_whose_packages_are_missing_leaves_its_group_of_use(ghost: Path) -> None:
    (ghost / "ghost_cli.py").write_text(
        "from shared.command_options import group\n"
        'app = group("Ghosts.", {"haunt": "ghost_haunt:haunt", "rest": "ghost_rest:rest"})\n'
    )
    (ghost / "ghost_haunt.py").write_text("import ectoplasm\n")
    (ghost / "ghost_rest.py").write_text('def rest() -> None:\n    """Rest."""\n')
    listed = splitsight("ghost", "--help", path=ghost)
    assert listed.code == 0
    assert "haunt  this needs the extra `ghost`" in listed.stdout
    assert "rest   Rest." in listed.stdout
    assert splitsight("ghost", "rest", path=ghost).code == 0
    refused = splitsight("ghost", "haunt", "--house", "3", path=ghost)
    assert refused.code == 11
    assert "pip install 'splitsight[ghost]'" in refused.stderr


@pytest.mark.process
def test_show_prints_one_json_value_alone(tiny: Bundle) -> None:
    ended = splitsight("bundle", "show", tiny.path, "--format", "json")
    assert (ended.code, ended.stderr) == (0, "")
    told = json.loads(ended.stdout)
    assert told["id"] == tiny.id
    assert told["pair"] == tiny.manifest.pair
    assert told["gate"] == tiny.manifest.gate.model_dump()
    assert set(told["files"]) == set(REQUIRED)


def test_show_for_people_names_the_licence_even_with_brackets_in_it(
    tiny: Bundle, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(tiny.path, tmp_path / "odd"))
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["training"]["data_licence"] = "[/] see [the licence]"
    (path / MANIFEST).write_text(json.dumps(manifest))
    ended = CliRunner().invoke(bundle_app, ["show", str(path)])
    assert ended.exit_code == 0
    assert "[/] see [the licence]" in ended.stdout


@pytest.mark.process
def test_verify_prints_a_row_a_check_and_ends_well(tiny: Bundle) -> None:
    ended = splitsight("bundle", "verify", tiny.path, "--format", "json")
    assert (ended.code, ended.stderr) == (0, "")
    rows = json.loads(ended.stdout)
    checks = {row["check"]: row["ok"] for row in rows}
    # torch runs tails alone, and only those that splitsight exported; this one was made by hand.
    assert len(checks) == len(REQUIRED) + 3 + 3 * len(RUNTIMES.names()) - 2
    assert checks["novelty"] is True
    assert checks["int8 against float"] is True
    assert checks["codec"] is True
    assert checks[f"parity of {HEAD} on onnx"] is True
    assert checks[f"parity of {HEAD} on openvino"] is True
    assert checks[f"parity of {TAIL} on torch"] is None


@pytest.fixture
def damaged(tiny_path: Path, tmp_path: Path) -> Path:
    path = Path(shutil.copytree(tiny_path, tmp_path / "damaged"))
    (path / CODEC).write_bytes((path / CODEC).read_bytes() + b" ")
    return path


@pytest.mark.process
def test_verify_of_a_damaged_bundle_names_every_failed_check(damaged: Path) -> None:
    ended = splitsight("bundle", "verify", damaged, "--format", "json")
    assert ended.code == CheckFailed.exit_code
    assert f"checks of damaged failed: hash of {CODEC}, codec" in ended.stderr
    assert "  do: don't deploy it" in ended.stderr
    failed = {row["check"] for row in json.loads(ended.stdout) if row["ok"] is False}
    assert {f"hash of {CODEC}", "codec"} <= failed
    assert f"hash of {HEAD}" not in failed


@pytest.mark.torch
@pytest.mark.process
def test_the_table_for_people_shows_what_a_backend_said_in_full(damaged: Path) -> None:
    ended = splitsight("bundle", "verify", damaged)
    assert ended.code == CheckFailed.exit_code
    assert f"hash of {CODEC}" in ended.stdout


@pytest.mark.process
def test_a_folder_that_is_no_bundle_is_told_in_words(tmp_path: Path) -> None:
    ended = splitsight("bundle", "show", tmp_path)
    assert ended.code == 20
    assert "is not a bundle: manifest.json can't be read" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


@pytest.mark.torch
def test_verification_of_a_sound_bundle_finds_nothing(tiny: Bundle) -> None:
    assert not [row for row in verification(tiny) if row["ok"] is False]


@pytest.mark.process
def test_doctor_prints_one_json_value_alone() -> None:
    ended = splitsight("doctor", "--format", "json")
    assert ended.code == 0
    rows = json.loads(ended.stdout)
    assert {"clock", "disk"} <= {row["check"] for row in rows}
    for row in rows:
        assert set(row) == {"check", "ok", "found", "wanted", "fix"}
        assert row["found"]
        assert bool(row["fix"]) != row["ok"]


@pytest.mark.process
def test_doctor_goes_on_where_a_part_cannot_be_checked(tmp_path: Path) -> None:
    folder = tmp_path / "ghost-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ghost\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[splitsight.checks]\nghost = ghost_checks:checks\n")
    (tmp_path / "ghost_checks.py").write_text("import ectoplasm\n")
    rows = json.loads(splitsight("doctor", "--format", "json", path=tmp_path).stdout)
    (row,) = [row for row in rows if row["check"] == "ghost"]
    assert row["ok"] is False
    assert "ectoplasm" in row["found"]
    assert row["fix"] == "pip install 'splitsight[ghost]'"
    assert len(rows) > 3
