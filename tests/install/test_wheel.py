"""The wheel holds what git has of the packages, and the bundle that its commands show."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from tests.support.documented import ROOT

PACKAGES = ("edge", "cloud", "fleet", "shared", "hardware-sim/hardware_sim", "bundles")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("splitsight-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if ".dist-info/" not in name}


def tracked() -> set[str]:
    """As a wheel names them."""
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = set(listed.stdout.splitlines())
    moved = {name for name in found if name.startswith("bundles/")}
    inside = {name.removeprefix("hardware-sim/") for name in found - moved}
    return inside | {f"hardware_sim/{name}" for name in moved}


def test_nothing_is_missing_in_the_wheel_and_nothing_is_there_by_chance(names: set[str]) -> None:
    assert names == tracked()


@pytest.mark.parametrize("package", ["edge", "cloud", "fleet", "shared", "hardware_sim"])
def test_users_of_a_package_get_its_types(names: set[str], package: str) -> None:
    assert f"{package}/py.typed" in names
