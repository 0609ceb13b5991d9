"""The groups of `make test`: what is quick, and the guard that holds quick tests to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.process

FINE = """
import pytest
def test_of_numbers(): assert 1 + 1 == 2
@pytest.mark.process
def test_that_says_what_it_starts():
    import subprocess
    subprocess.run(["true"], check=True)
"""
WHOLE = """
import pytest
pytestmark = pytest.mark.torch
def test_of_tensors(): pass
"""
STARTS = """
import subprocess
def test_that_starts(): subprocess.run(["true"], check=True)
"""
CATCHES = """
import subprocess
def test_that_starts_in_spite():
    try:
        subprocess.run(["true"], check=True)
    except BaseException:
        pass
"""
THREAD = """
import subprocess, threading
def start():
    try:
        subprocess.run(["true"], check=True)
    except BaseException:
        pass
def test_whose_thread_starts():
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
"""
FORKS = """
import os
def test_that_forks():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
"""
LATE = """
def test_that_imports_late():
    import torch
"""
EARLY = """
import torch
def test_of_tensors(): pass
"""
TORCH = "it imports torch: mark it with pytest.mark.torch"
MARKERS = "[pytest]\nmarkers =\n    process: x\n    torch: x\n"


def session(folder: Path, group: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of these files as one group, by the rules of tests/conftest.py."""
    (folder / "pytest.ini").write_text(MARKERS)
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    return subprocess.run(
        [*(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"), "--group", group, "."],
        cwd=folder,
        env={**os.environ, "CI": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_both_groups_together_are_all_tests_each_once(tmp_path: Path) -> None:
    quick = session(tmp_path, "quick", fine=FINE, whole=WHOLE)
    assert quick.returncode == 0, quick.stdout
    assert "1 passed, 1 deselected" in quick.stdout
    slow = session(tmp_path, "slow", fine=FINE, whole=WHOLE)
    assert slow.returncode == 0, slow.stdout
    assert "2 passed, 1 deselected" in slow.stdout


def test_a_quick_test_that_is_none_fails_and_only_that(tmp_path: Path) -> None:
    offenders = {
        "starts": STARTS,
        "catches": CATCHES,
        "thread": THREAD,
        "forks": FORKS,
        "imports": LATE,
    }
    ended = session(tmp_path, "quick", fine=FINE, **offenders)
    assert ended.returncode == 1, ended.stdout
    assert "5 failed, 1 passed, 1 deselected" in ended.stdout
    assert ended.stdout.count("it starts a process (subprocess.Popen): mark it with") >= 3
    for told in ("it starts a process (os.fork): mark it with pytest.mark.process", TORCH):
        assert told in ended.stdout


def test_a_module_that_imports_torch_says_so_or_fails(tmp_path: Path) -> None:
    ended = session(tmp_path, "quick", fine=FINE, other=EARLY)
    assert ended.returncode == 2, ended.stdout
    assert TORCH in ended.stdout
