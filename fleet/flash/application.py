"""The agent and what it needs, as Debian's Python 3.11 will find them."""

from __future__ import annotations

import hashlib
import os
import sys
import tomllib
from pathlib import Path

from fleet.flash.profiles import MachineProfile
from fleet.flash.tools import run_tool
from shared.console import err
from shared.errors import ImageError
from shared.log import get_logger
from shared.storage.files import replacing

log = get_logger("image")

PYTHON = (3, 11)
EXTRA = "edge"
PIP_TIMEOUT_S = 1200.0
SITE_PACKAGES = "usr/local/lib/python3.11/dist-packages"


def source_folder() -> Path:
    """The checkout that this package runs from. Raises ImageError where it is none."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / "pyproject.toml").is_file():
        raise ImageError(
            "an image is built from a checkout of splitsight, and this is an installed package",
            fix="clone the repository, `pip install -e '.[fleet]'`, and build there",
        )
    return folder


def build_wheel(source: Path, folder: Path) -> Path:
    """This checkout as a wheel."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run_tool([*command, "--wheel-dir", folder, source], timeout_s=PIP_TIMEOUT_S)
    return next(folder.glob("splitsight-*.whl"))


def install_requirements(profile: MachineProfile, source: Path, cache: Path) -> Path:
    """A folder with everything that the extra `edge` needs; used again while that is the same."""
    pinned = source / "constraints.txt"
    wanted = _requirements(source)
    digest = hashlib.sha256("\0".join((profile.name, *wanted)).encode())
    digest.update(pinned.read_bytes())
    folder = cache / f"python-{profile.name}-{digest.hexdigest()[:16]}"
    if folder.exists():
        return folder
    platforms = [word for tag in profile.wheels for word in ("--platform", tag)]
    with (
        replacing(folder, cache / f"{folder.name}.{os.getpid()}.new") as fresh,
        err.status("fetching the agent's Python packages"),
    ):
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
            *("--only-binary", ":all:", "--implementation", "cp", "--abi", "cp311"),
            *("--abi", "abi3", "--abi", "none", "--python-version", ".".join(map(str, PYTHON))),
            *("--constraint", str(pinned), "--target", str(fresh), *platforms, *wanted),
        ]
        run_tool(command, timeout_s=PIP_TIMEOUT_S)
        compile_python(fresh)
    return folder


def install_wheel(wheel: Path, folder: Path) -> None:
    """The agent itself, beside what it needs."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
    run_tool([*command, "--upgrade", "--target", folder, wheel], timeout_s=PIP_TIMEOUT_S)


def compile_python(folder: Path) -> None:
    """Byte code that does not depend on times, so that the same tree gives the same slot.

    Left out where this is another Python than the device's: there it would be of no use.
    """
    if sys.version_info[:2] != PYTHON:
        log.warning("not_compiled", python=sys.version.split()[0])
        return
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0"]
    run_tool(
        [
            *(*command, "--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder), "-p", f"/{SITE_PACKAGES}", str(folder)),
        ],
        timeout_s=PIP_TIMEOUT_S,
        env={"SOURCE_DATE_EPOCH": "0"},
    )


def _requirements(source: Path) -> list[str]:
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
