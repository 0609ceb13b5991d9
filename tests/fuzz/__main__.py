"""`python -m tests.fuzz [TARGET …] [--seconds 60] [--keep]`: fuzz what reads foreign bytes.

Each target runs in a process of its own with a limit of memory and of time an input; what it finds
is written to runs/fuzz. With --keep, inputs that reach code which none of the kept ones reaches are
kept in tests/fuzz/corpus.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.corpus import keep, kept
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
FOUND = ROOT / "runs" / "fuzz"
SHARED = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
MEMORY_MB = 1024
INPUT_S = 10
START_S = 120
_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fuzzing:
    """What a run of a target came to. `found`: files of inputs that it should have refused."""

    target: str
    runs: int
    runs_per_s: int
    memory_mb: int
    found: list[Path]
    said: str

    @property
    def well(self) -> bool:
        return bool(self.runs) and not self.found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="all, unless named")
    parser.add_argument("--seconds", type=int, default=60, help="a target")
    parser.add_argument("--keep", action="store_true", help="keep what is worth it")
    options = parser.parse_args()
    FOUND.mkdir(parents=True, exist_ok=True)
    names: Sequence[str] = options.targets or list(TARGETS)
    _say(f"{'target':<10} {'inputs':>12} {'a second':>10} {'MB':>6}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda name: _fuzz(name, options.seconds, keep_it=options.keep), names)
        runs = [_told(one) for one in done]
    if not all(one.well for one in runs):
        sys.exit("at least one target did not refuse what it can't read: see above")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _told(one: Fuzzing) -> Fuzzing:
    _say(f"{one.target:<10} {one.runs:>12,} {one.runs_per_s:>10,} {one.memory_mb:>6}")
    if not one.well:
        _say("\n".join([one.said, *map(str, one.found)]))
    return one


def _fuzz(name: str, seconds: int, *, keep_it: bool) -> Fuzzing:
    target = TARGETS[name]
    # In memory where that can be had: what is tried is written to a file, or flushed, each time.
    with tempfile.TemporaryDirectory(prefix="splitsight-fuzz-", dir=SHARED) as folder:
        corpus, seeded, own = (Path(folder) / each for each in ("corpus", "seeds", "own"))
        for made in (corpus, seeded, own):
            made.mkdir()
        seeds = [*target.seeds(seeded), *kept(name)]
        for number, raw in enumerate(seeds):
            (corpus / f"kept-{number}").write_bytes(raw)
        begun = {path.name for path in FOUND.glob(f"{name}-*")}
        said = _engine(
            *(name, str(own), f"-max_total_time={seconds}", "-print_final_stats=1"),
            *(f"-rss_limit_mb={MEMORY_MB}", f"-timeout={INPUT_S}", f"-max_len={target.longest}"),
            *(f"-artifact_prefix={FOUND}/{name}-", str(corpus)),
            within_s=seconds + START_S,
        )
        if keep_it:
            # Each of them reached code that none before it had reached; seeds are made each time.
            made_up = corpus.iterdir()
            keep(name, {path.read_bytes() for path in made_up} - set(target.seeds(seeded)))
    found = [path for path in FOUND.glob(f"{name}-*") if path.name not in begun]
    told = {key: int(value) for key, value in _STATISTIC.findall(said)}
    return Fuzzing(
        name,
        told.get("number_of_executed_units", 0),
        told.get("average_exec_per_sec", 0),
        told.get("peak_rss_mb", 0),
        found,
        said[-3000:],
    )


def _engine(*options: str, within_s: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.engine", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=within_s,
        check=False,
    )
    return done.stdout


if __name__ == "__main__":
    main()
