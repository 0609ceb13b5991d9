"""Each extra alone runs what it offers, and names the extra that anything else needs."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.install.environments import Environments, surroundings
from tests.support.documented import ROOT

# What each brings of the commands; the simulated plant is made of the real parts.
WHOLE = {"edge", "cloud", "fleet", "sim", "demo"}
OFFERED = {
    "edge": {"edge"},
    "cloud": {"cloud"},
    "parquet": set(),
    "experiments": {"cloud"},
    "train": {"cloud"},
    "fleet": {"fleet"},
    "learn": {"fleet"},
    "sim": WHOLE,
    "demo": WHOLE,
}
# Commands with the extra that each names where it is missing, and those that bring it.
COMMANDS = {
    "edge check --config none.yaml": ("edge", {"edge", "sim", "demo"}),
    "cloud serve --config none.yaml": ("cloud", {"cloud", "sim", "demo"}),
    "cloud train --data none --out b": ("train", {"train"}),
    "cloud certify --bundle none --data none": ("train", {"train"}),
    "cloud evaluate --bundle none --data none": ("train", {"train"}),
    "cloud leakage --bundle none --data none": ("train", {"train"}),
    "cloud parity --bundle none --data none": ("train", {"train"}),
    "cloud base --run none --out b": ("train", {"train"}),
    "cloud search --data none --out b": ("train", {"train"}),
    "cloud runs --experiments http://127.0.0.1:9": ("experiments", {"experiments"}),
    "fleet federate --config none.yaml": ("learn", {"learn"}),
    "fleet candidate list": ("fleet", {"fleet", "learn", "sim", "demo"}),
    "fleet release list": ("fleet", {"fleet", "learn", "sim", "demo"}),
    "sim line --surface metal --sheet parts.png": ("sim", {"sim", "demo"}),
    "demo --bundle none": ("demo", {"sim", "demo"}),
}
MISSING, UNKNOWN = 11, 2
# For who works on splitsight.
TOOLS = {"dev", "site", "release"}


def said(folder: Path, home: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(folder / ".venv/bin/splitsight"), *words],
        cwd=home,
        env=surroundings(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    told = done.stdout + done.stderr
    assert "Traceback" not in told
    assert "mistake in splitsight" not in told
    return done.returncode, told


@pytest.mark.parametrize("extras", [(name,) for name in OFFERED], ids=",".join)
def test_each_extra_alone_runs_what_it_offers_and_says_what_the_rest_needs(
    environments: Environments, tmp_path: Path, extras: tuple[str, ...]
) -> None:
    (extra,) = extras
    folder = environments.of(extra)
    for group in WHOLE:
        code, told = said(folder, tmp_path, group, "--help")
        assert code == 0 or (group not in OFFERED[extra] and code == MISSING), told
    for command, (wanted, brought_by) in COMMANDS.items():
        code, told = said(folder, tmp_path, *command.split())
        if extra in brought_by:
            assert code not in {MISSING, UNKNOWN}, f"{command}: {told}"
            continue
        if code not in {MISSING, UNKNOWN}:
            # What another extra brings may be all that it needs.
            continue
        # Whoever lacks a whole group is told its extra first.
        named = [name for name in (wanted, command.split()[0]) if f"splitsight[{name}]" in told]
        assert (code, bool(named)) == (MISSING, True), f"{command}: {told}"
    code, told = said(folder, tmp_path, "doctor", "--format", "json")
    assert code == 0, told


def test_every_extra_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert OFFERED.keys() == project["optional-dependencies"].keys() - TOOLS
