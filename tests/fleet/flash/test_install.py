"""The agent as a service, installed into a folder that stands for a machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fleet.installation.steps import HOME, UNIT, Place, carry_out, install_steps, unit_text
from shared.errors import SettingsError
from tests.fleet.flash.conftest import SITE
from tests.support.commands import splitsight


@pytest.mark.process
def test_installing_twice_changes_nothing_the_second_time(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    first = splitsight("fleet", "install", "--config", site, "--root", root)
    assert first.code == 0, first.stderr
    config = root / "var/lib/splitsight/config/site.yaml"
    assert config.read_text(encoding="utf-8") == SITE
    assert config.stat().st_mode & 0o007 == 0
    second = splitsight("fleet", "install", "--config", site, "--root", root)
    assert second.code == 0
    assert "doing:" not in second.stdout
    assert "all of it was so already" in second.stdout


def test_a_changed_site_is_the_only_step_of_the_next_run(site: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "root")
    carry_out(install_steps(place, site, "splitsight"), lambda _: None, dry_run=False)
    site.write_text(SITE + "deadline_ms: 250\n", encoding="utf-8")
    said: list[str] = []
    changed = carry_out(install_steps(place, site, "splitsight"), said.append, dry_run=False)
    assert changed == 1
    assert f"doing:  write {HOME}/config/site.yaml" in said


@pytest.mark.process
def test_a_dry_run_says_every_step_and_does_none(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = splitsight("fleet", "install", "--config", site, "--root", root, "--dry-run")
    assert done.code == 0, done.stderr
    assert f"would:  write {UNIT}" in done.stdout
    assert not root.exists()


def test_on_this_machine_user_environment_and_service_come_in_order(
    site: Path, tmp_path: Path
) -> None:
    steps = install_steps(Place(prefix=tmp_path / "opt"), site, "splitsight")
    words = [step.says.split()[0] for step in steps]
    assert words[:3] == ["make", "make", "install"]
    assert steps[-1].says.startswith("start the service")
    assert not (tmp_path / "opt").exists()


def test_commands_run_as_they_are_listed(site: Path, tmp_path: Path) -> None:
    ran: list[str] = []
    place = Place(prefix=tmp_path / "opt", run=lambda command: ran.append(" ".join(command)))
    for step in install_steps(place, site, "splitsight")[1:3]:
        step.do()
    assert ran[0].endswith(f"-m venv {tmp_path / 'opt'}")
    assert ran[1].endswith("pip install --quiet splitsight[edge]")


@pytest.mark.process
def test_uninstalling_removes_the_service_and_keeps_the_data(site: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    splitsight("fleet", "install", "--config", site, "--root", root)
    done = splitsight("fleet", "uninstall", "--root", root)
    assert done.code == 0, done.stderr
    assert not (root / UNIT.relative_to("/")).exists()
    assert (root / "var/lib/splitsight/config/site.yaml").exists()


@pytest.mark.process
def test_a_site_with_a_mistake_installs_nothing(site: Path, tmp_path: Path) -> None:
    site.write_text(SITE.replace("line: line-1\n", ""), encoding="utf-8")
    done = splitsight("fleet", "install", "--config", site, "--root", tmp_path / "root")
    assert done.code == SettingsError.exit_code
    assert "site.yaml" in done.stderr
    assert not (tmp_path / "root").exists()


@pytest.mark.process
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "opt/bin/splitsight"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(unit_text(tmp_path / "opt"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    mentioned = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert mentioned == []
    assert "/data/" not in unit.read_text(encoding="utf-8")
