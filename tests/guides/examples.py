"""The packages that the guides show, taken out of them and installed as a user would."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides" / "extend"
PROJECT = "pyproject.toml"
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
BUILD = """
import os, sys
from hatchling.build import build_wheel
for folder in sys.argv[2:]:
    os.chdir(folder)
    build_wheel(sys.argv[1])
"""


def blocks(guide: str) -> dict[str, str]:
    """What a guide shows as files, by their names."""
    return dict(BLOCK.findall((GUIDES / f"{guide}.md").read_text()))


def guides() -> list[str]:
    """Those that show a package."""
    return [path.stem for path in sorted(GUIDES.glob("*.md")) if PROJECT in blocks(path.stem)]


def modules(guide: str) -> dict[str, str]:
    """The files of its package, beside the one that names them."""
    shown = blocks(guide)
    return {name: text for name, text in shown.items() if name.endswith((".py", ".html"))}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def install(packages: dict[str, dict[str, str]], work: Path) -> Path:
    """Build a wheel of each package and unpack them into one folder, as pip's `--target` does.

    packages   their files by name
    """
    folders = [write(work / name, files) for name, files in packages.items()]
    wheels, site = work / "wheels", work / "site"
    wheels.mkdir()
    subprocess.run(
        [sys.executable, "-c", BUILD, wheels, *folders], check=True, capture_output=True, timeout=60
    )
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    return site
