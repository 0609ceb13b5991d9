"""What the image test covers, and whether it has passed on that as it lies here.

`python -m tests.support.covered` ends with 0 where it has; `--passed` notes that it has just now.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORD = Path("tests/image/passed.txt")
COVERED = ("edge", "shared", "fleet/flash", "tests/image", "pyproject.toml", "constraints.txt")
"""What runs on a device, what writes its card, what it is made of. The cloud, the line and the
fleet's services only serve it there: other tests cover them."""


def digest(path: Path, *, without: Path | None = None) -> str:
    """SHA-256, hexadecimal, of a file or of all below a folder, by names and content."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    whole = hashlib.sha256()
    for file in files:
        if file.is_file() and file != without and "__pycache__" not in file.parts:
            name = file.relative_to(path).as_posix()
            whole.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def lines(root: Path, covered: Iterable[str] = COVERED) -> list[str]:
    """`digest  path` of each, as the record holds them."""
    return [f"{digest(root / path, without=root / RECORD)}  {path}" for path in covered]


def changed(root: Path, covered: Iterable[str] = COVERED) -> list[str]:
    """The covered paths that are not as they were when the test passed; without a record, all."""
    record = root / RECORD
    passed = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return [line.partition("  ")[2] for line in lines(root, covered) if line not in passed]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main(arguments: list[str]) -> int:
    if arguments == ["--passed"]:
        (ROOT / RECORD).write_text("\n".join(lines(ROOT)) + "\n", encoding="utf-8")
        say(f"the image test has passed: commit {RECORD}, and CI leaves it out until these change")
        return 0
    differs = changed(ROOT)
    if differs:
        say(f"the image test has not passed on these as they are: {', '.join(differs)}")
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
