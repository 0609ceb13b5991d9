"""A journal on a disk of its own that gets full, as a program: within `unshare --mount`, as root.

Prints JSON, a line for each time that it looked.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from edge.journal.journal import Journal
from edge.monitoring.health import BoxHealth
from tests.edge.rigs import open_journal, rows_in
from tests.edge.test_journal import decided

MIB = 1 << 20
DISK_BYTES = 48 * MIB
PARTS = 600


def main(folder: Path) -> None:
    size = f"size={DISK_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True, timeout=10)
    health = BoxHealth()
    journal = opened(folder, health)
    inspect(journal, 1)
    look(folder, health)
    others = folder / "log-of-another-program"
    fill(others)
    inspect(journal, PARTS + 1)
    look(folder, health)
    journal.close()
    fill(others)

    health = BoxHealth()
    journal = opened(folder, health)
    inspect(journal, 2 * PARTS + 1)
    look(folder, health)
    others.unlink()
    inspect(journal, 3 * PARTS + 1)
    look(folder, health)
    journal.close()


def opened(folder: Path, health: BoxHealth) -> Journal:
    return open_journal(folder, max_bytes=8 * MIB, ring_bytes=4 * MIB, health=health)


def inspect(journal: Journal, first: int) -> None:
    for sequence in range(first, first + PARTS):
        journal.record(decided(journal, sequence), bytes(5000), None)
        journal.settle(sequence, 5.0, 0)
        journal.commits.step()
    for _ in range(10):
        journal.commits.step()


def fill(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for size in (1 << 16, 4096):
        try:
            while True:
                os.write(handle, bytes(size))
        except OSError:
            continue
    os.close(handle)


def look(folder: Path, health: BoxHealth) -> None:
    try:
        counts = [len(rows_in(folder, table)) for table in ("inspections", "frames")]
    except sqlite3.Error:
        # Not even who only reads can open it now.
        counts = [-1, -1]
    found = {
        "rows": counts[0],
        "frames": counts[1],
        "problems": health.problems,
        "counts": health.counts,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
