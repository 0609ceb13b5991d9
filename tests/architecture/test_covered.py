"""The image test runs in CI where what it covers has changed since it passed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.covered import COVERED, RECORD, ROOT, changed, lines

PATHS = ("edge", "tests/image", "pins.txt")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("edge/agent.py", "edge/link/uplink.py", "tests/image/test_image.py", "pins.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_without_a_record_it_covers_nothing_yet(root: Path) -> None:
    assert changed(root, PATHS) == list(PATHS)


def test_nothing_has_changed_when_it_has_passed(root: Path) -> None:
    (root / RECORD).write_text("\n".join(lines(root, PATHS)))
    assert changed(root, PATHS) == []
    (root / "edge/__pycache__").mkdir()
    (root / "edge/__pycache__/agent.pyc").write_bytes(b"compiled")
    (root / "cloud.py").write_text("not covered")
    assert changed(root, PATHS) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda root: (root / "edge/link/uplink.py").write_text("other"), ["edge"]),
        (lambda root: (root / "edge/agent.py").unlink(), ["edge"]),
        (lambda root: (root / "edge/agent.py").rename(root / "edge/link/agent.py"), ["edge"]),
        (lambda root: (root / "tests/image/rigs.py").touch(), ["tests/image"]),
        (lambda root: (root / "pins.txt").write_text("newer"), ["pins.txt"]),
    ],
)
def test_what_has_changed_since_is_told(
    root: Path, change: Callable[[Path], object], told: list[str]
) -> None:
    (root / RECORD).write_text("\n".join(lines(root, PATHS)))
    change(root)
    assert changed(root, PATHS) == told


def test_what_is_covered_is_there() -> None:
    assert [path for path in COVERED if not (ROOT / path).exists()] == []
