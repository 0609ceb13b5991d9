"""`splitsight cloud export` and `bundle verify --target` on the shipped bundle and its cells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hardware_sim.processes.session import SHIPPED_BUNDLE
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import HEAD, LITERT_HEAD, MANIFEST
from shared.errors import BundleError, CheckFailed, SettingsError
from tests.bundles import make_bundle
from tests.support.commands import splitsight

pytestmark = pytest.mark.process

TARGET = "ethos-u55-256"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "elpv"
    shutil.copytree(SHIPPED_BUNDLE, path)
    ended = splitsight(
        *("cloud", "export", "--bundle", str(path), "--data", "elpv"),
        *("--target", "ethos-u55", "--format", "json"),
    )
    assert ended.code == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["bundle"] == Bundle.open(path).id
    assert told["target"] == TARGET
    assert told["operators_off_npu"] == 0
    assert told["decided_alike"] >= 0.99
    assert 0 < told["milliseconds"] < 10
    assert told["sram_kib"] <= 384
    return path


def test_the_bundle_has_the_heads_and_says_what_they_are(exported: Path) -> None:
    before, after = Bundle.open(SHIPPED_BUNDLE).manifest, Bundle.open(exported).manifest
    assert after.pair == before.pair
    assert after.certificate == before.certificate
    assert set(after.files) - set(before.files) == {LITERT_HEAD, f"head.{TARGET}.tflite"}
    entry = after.targets[TARGET]
    assert (entry.file, entry.source) == (f"head.{TARGET}.tflite", after.files[HEAD].sha256)
    assert entry.parts > 100


def test_it_verifies_and_shows(exported: Path) -> None:
    ended = splitsight("bundle", "verify", str(exported), "--target", TARGET, "--format", "json")
    assert ended.code == 0, ended.stderr
    rows = {row["check"]: row for row in json.loads(ended.stdout)}
    wanted = (
        f"decisions for {TARGET}",
        f"parity of {LITERT_HEAD} on litert",
        f"operators off {TARGET}",
    )
    assert all(rows[check]["ok"] is True for check in wanted)
    assert rows[wanted[-1]]["found"].startswith("none; about ")
    assert TARGET in splitsight("bundle", "show", str(exported)).stdout


def test_a_file_that_the_compiler_does_not_make_fails(exported: Path, tmp_path: Path) -> None:
    opened = Bundle.open(exported)
    name = f"head.{TARGET}.tflite"
    changed = amend_bundle(opened, {}, tmp_path / "changed", {name: opened.read(name) + b"\0"})
    ended = splitsight("bundle", "verify", str(changed.path), "--target", TARGET)
    assert ended.code == CheckFailed.exit_code
    assert f"operators off {TARGET}" in ended.stderr


def test_a_file_of_another_version_of_the_compiler_fails(exported: Path, tmp_path: Path) -> None:
    opened = Bundle.open(exported)
    entry = opened.manifest.targets[TARGET].model_copy(update={"tool": "vela 1.0.0"})
    old = amend_bundle(opened, {"targets": {TARGET: entry.model_dump()}}, tmp_path / "old")
    ended = splitsight("bundle", "verify", str(old.path), "--target", TARGET, "--format", "json")
    assert ended.code == CheckFailed.exit_code
    (row,) = [r for r in json.loads(ended.stdout) if r["ok"] is False]
    assert "was compiled by vela 1.0.0, here is vela " in row["found"]


def test_what_was_made_of_another_head_counts_as_none(exported: Path, tmp_path: Path) -> None:
    opened = Bundle.open(exported)
    other = amend_bundle(opened, {}, tmp_path / "other", {HEAD: opened.read(HEAD) + b"\0"})
    assert other.manifest.targets == {}
    ended = splitsight("bundle", "verify", str(other.path), "--target", TARGET)
    assert ended.code == BundleError.exit_code
    assert f"has no head for {TARGET}; it has none" in ended.stderr


def test_a_bundle_without_targets_can_be_read_by_agents_from_before_them(tmp_path: Path) -> None:
    written = make_bundle(tmp_path / "plain").path / MANIFEST
    assert "targets" not in json.loads(written.read_text())


def test_a_target_that_is_none_and_a_head_that_can_not_be_written_change_nothing(
    tmp_path: Path,
) -> None:
    plain = make_bundle(tmp_path / "plain")
    command = ("cloud", "export", "--bundle", str(plain.path), "--data", "elpv", "--target")
    unknown = splitsight(*command, "coral")
    assert unknown.code == SettingsError.exit_code
    assert "there is no target 'coral'" in unknown.stderr
    unfit = splitsight(*command, "litert")
    assert unfit.code == BundleError.exit_code
    assert "can't be written for accelerators" in unfit.stderr
    assert Bundle.open(plain.path).id == plain.id
