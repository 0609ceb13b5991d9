"""`make bench`: what docs/benchmarks.md states, as ratios measured side by side in one run."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from shared import log
from shared.console import err, out, print_json, print_table
from tests.bench import agent, codec, escalations, head, line, quality, service

BUNDLE = Path(__file__).parents[2] / "bundles" / "elpv"
Row = dict[str, object]
BENCHES: dict[str, Callable[[Path, Path], list[Row]]] = {
    "agent": agent.measure,
    "head": head.measure,
    "codec": codec.measure,
    "escalations": escalations.measure,
    "service": service.measure,
    "line": line.measure,
    "quality": quality.measure,
}


def main() -> None:
    """Run all benches, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", nargs="*", choices=[[], *BENCHES], help="default: all")
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--format", choices=["text", "json"], default="text")
    options = parser.parse_args()
    log.configure(level=40)
    report: dict[str, list[Row]] = {}
    for name in options.bench or BENCHES:
        err.print(f"measuring: {name}")
        with tempfile.TemporaryDirectory() as folder:
            report[name] = BENCHES[name](options.bundle, Path(folder))
        if options.format == "text":
            print_table(name, report[name])
    if options.format == "json":
        print_json(report)
    else:
        out.print("wanted: docs/benchmarks.md")


if __name__ == "__main__":
    main()
