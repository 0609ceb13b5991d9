"""A small process that runs one command and says what it took: a process that is started counts as
its own peak what its parent held at that moment, so the parent must hold little.

    python -I -S launcher.py REPORT COMMAND…

writes `{"exit", "seconds", "processor_seconds", "megabytes"}` to REPORT. Megabytes are 2²⁰ bytes:
the peak resident set of the command's process, or of the largest of its children.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def main(report: str, *command: str) -> None:
    before = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, check=False)
    took = time.perf_counter() - before
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {
        "exit": ended.returncode,
        "seconds": took,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "megabytes": used.ru_maxrss / 1024,
    }
    Path(report).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
