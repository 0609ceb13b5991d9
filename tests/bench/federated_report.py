"""`python -m tests.bench.federated_report RUNS`: the table and the curves of what has been run."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shared.console import out

Curve = list[dict[str, float]]
NAMES = {
    "centralised": "all pictures in one place",
    "alone": "each plant alone",
    "fedavg": "FedAvg",
    "fedprox": "FedProx (0.01)",
    "fedbn": "FedBN: own normalisation",
    "personal": "own normalisation and map head",
}


def read(folder: Path) -> dict[str, dict[int, Curve]]:
    """Curves of the variants that came to their end, by seed."""
    curves: dict[str, dict[int, Curve]] = defaultdict(dict)
    for path in sorted(folder.glob("*-[0-9].json")):
        report = json.loads(path.read_text())
        curves[report["variant"]][report["seed"]] = report["curve"]
    return curves


def table(curves: Mapping[str, Mapping[int, Curve]]) -> str:
    """A row a variant, in Markdown: the last round's edge AUROC, mean of seeds and their range."""
    lines = [
        "| | seeds | pooled | mean of plants | MB a device, both ways |",
        "|---|---|---|---|---|",
    ]
    for variant, name in NAMES.items():
        seeds = curves.get(variant, {})
        if not seeds:
            continue
        last = [curve[-1] for curve in seeds.values()]
        traffic = sum(row["bytes"] for row in next(iter(seeds.values()))) / 1e6
        moved = "0" if variant in {"centralised", "alone"} else f"{traffic:.1f}"
        cells = [_cell([row[key] for row in last]) for key in ("pooled", "mean")]
        lines.append(f"| {name} | {len(seeds)} | {cells[0]} | {cells[1]} | {moved} |")
    return "\n".join(lines)


def draw(curves: Mapping[str, Mapping[int, Curve]], path: Path) -> None:
    """Edge AUROC against rounds, and against what a device has sent and received."""
    figure = Figure(figsize=(9, 3.6), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    by_round, by_bytes = figure.subplots(1, 2, sharey=True)
    for variant, name in NAMES.items():
        seeds = list(curves.get(variant, {}).values())
        if not seeds:
            continue
        length = min(map(len, seeds))
        values = np.mean([[row["pooled"] for row in curve[:length]] for curve in seeds], axis=0)
        local = variant in {"centralised", "alone"}
        style = {"linestyle": "--" if local else "-", "label": name}
        by_round.plot(range(1, length + 1), values, marker=".", **style)
        if local:
            by_bytes.axhline(values[-1], color=by_round.lines[-1].get_color(), linestyle="--")
        else:
            traffic = np.cumsum([row["bytes"] for row in seeds[0][:length]]) / 1e6
            color = by_round.lines[-1].get_color()
            by_bytes.plot(traffic, values, marker=".", color=color)
    by_round.set_xlabel("round")
    by_bytes.set_xlabel("MB a device, both ways")
    by_round.set_ylabel("edge AUROC, all plants' test parts")
    by_round.legend(fontsize=7)
    for axes in (by_round, by_bytes):
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _cell(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def main() -> None:
    """Print the table; draw the curves where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    curves = read(options.runs)
    out.print(table(curves), markup=False, highlight=False, soft_wrap=True)
    if options.png:
        draw(curves, options.png)


if __name__ == "__main__":
    main()
