"""The rules of tests/conftest.py hold, seen from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SKIPPING = """
import pytest
def test_that_passes(): pass
@pytest.mark.skip(reason="no broker here")
def test_that_needs_a_broker(): pass
"""
WHOLE_MODULE = """
import pytest
pytest.skip("no GPU here", allow_module_level=True)
"""


def session(folder: Path, text: str, ci: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_one.py").write_text(text)
    (folder / "test_two.py").write_text("def test_fine(): pass\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=folder,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("text", [SKIPPING, WHOLE_MODULE])
def test_a_skipped_test_fails_the_session_in_ci(tmp_path: Path, text: str) -> None:
    ended = session(tmp_path, text, "true")
    assert ended.returncode == 1
    assert "1 tests were skipped: CI=true allows none" in ended.stdout


def test_a_skipped_test_is_fine_at_a_desk_and_nothing_is_said_where_none_was(
    tmp_path: Path,
) -> None:
    at_desk = session(tmp_path, SKIPPING, "")
    assert at_desk.returncode == 0
    assert "CI=true" not in at_desk.stdout
    complete = session(tmp_path, "def test_that_passes(): pass", "true")
    assert complete.returncode == 0
    assert "CI=true" not in complete.stdout
