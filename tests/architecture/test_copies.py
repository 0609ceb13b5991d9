"""`make check` finds what stands twice: 12 lines of product code, 20 of tests."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
LINE = "    total_{0} = round(values[{0}] * weights[{0}], {0}) + offsets[{0}]\n"


def own(name: str) -> str:
    """Lines that stand nowhere else."""
    return "".join(LINE.format(f"{name}_{line}") for line in range(9))


def found(folder: Path, limit: int) -> bool:
    """Whether the check of that many lines complains of a folder."""
    rules = subprocess.run(
        ["make", "--dry-run", "--always-make", "check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (rule,) = (line for line in rules.stdout.splitlines() if f"--min-lines {limit} " in line)
    words = shlex.split(rule)
    command = words[: words.index(str(limit)) + 1]
    return subprocess.run([*command, folder], cwd=ROOT, check=False).returncode == 1


@pytest.mark.parametrize("limit", [12, 20])
@pytest.mark.parametrize("more", [-2, 0])
def test_lines_that_stand_twice_are_found_from_the_limit_on(
    tmp_path: Path, limit: int, more: int
) -> None:
    body = "".join(LINE.format(number) for number in range(limit + more))
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(f"def {name}():\n{own(name)}{body}{own(name)}")
    assert found(tmp_path, limit) == (more == 0)


def test_imports_are_no_copies(tmp_path: Path) -> None:
    many = "from package import (\n" + "    word,\n" * 30 + ")\n"
    alone = "".join(f"from package import name_{number} as other\n" for number in range(40))
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(f"{many}{alone}def {name}():\n{own(name)}")
    assert not found(tmp_path, 12)
