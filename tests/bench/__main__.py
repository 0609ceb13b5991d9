"""`make bench`: what docs/benchmarks.md states, as ratios measured side by side in one run."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from shared import log
from shared.console import err, out, print_json, print_table
from tests.bench import (
    agent,
    catch_up,
    codec,
    dashboard,
    data,
    depth,
    disputes,
    endurance,
    escalations,
    federate,
    federated,
    head,
    intake,
    learning_plant,
    line,
    masking,
    novelty,
    pictures,
    quality,
    recovery,
    rollout,
    rounds,
    service,
    superlink,
    tiles,
    updates,
    viewers,
)

BUNDLE = Path(__file__).parents[2] / "bundles" / "elpv"
Row = dict[str, object]
BENCHES: dict[str, Callable[[Path, Path], list[Row]]] = {
    "agent": agent.measure,
    "head": head.measure,
    "codec": codec.measure,
    "escalations": escalations.measure,
    "service": service.measure,
    "catch-up": catch_up.measure,
    "recovery": recovery.measure,
    "pictures": pictures.measure,
    "intake": intake.measure,
    "line": line.measure,
    "quality": quality.measure,
    "novelty": novelty.measure,
    "depth": depth.measure,
    "large-pictures": tiles.measure_speed,
    "rounds": rounds.measure,
    "masking": masking.measure,
    "federate": federate.measure,
    "updates": updates.measure,
    "viewers": viewers.measure,
}
# Takes a quarter of an hour, so it is run by name only.
LONG: dict[str, Callable[[Path, Path], list[Row]]] = {
    "dashboard": dashboard.measure,
    "data": data.measure,
    "disputes": disputes.measure,
    "endurance": endurance.measure,
    "rollout": rollout.measure,
    "superlink": superlink.measure,
    "tiles": tiles.measure_quality,
    "learning-plant": learning_plant.measure,
}


def main() -> None:
    """Run all benches, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "bench", nargs="*", choices=[[], *BENCHES, *LONG], help="default: all short ones"
    )
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--folder", type=Path, help="what is made lies there and is used again")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    options = parser.parse_args()
    log.configure(level=40)
    report: dict[str, list[Row]] = {}
    for name in options.bench or BENCHES:
        err.print(f"measuring: {name}")
        with ExitStack() as stack:
            folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            report[name] = {**BENCHES, **LONG}[name](options.bundle, folder)
        if options.format == "text":
            print_table(name, report[name])
    if options.format == "json":
        print_json(report)
    else:
        out.print("wanted: docs/benchmarks.md")


if __name__ == "__main__":
    # Hours, and a data set of its own: never among all the others.
    if sys.argv[1:2] == ["federated"]:
        federated.main(sys.argv[2:])
    else:
        main()
