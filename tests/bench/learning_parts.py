"""Solar cells of two kinds for a plant that learns: a bundle that has seen one kind only, and lines
that bring the other. What is learned from and what escapes are counted on are apart, by cell."""

from __future__ import annotations

import csv
import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.datasets.dataset import Sample
from cloud.datasets.readers import read
from hardware_sim.processes import child as processes
from shared.errors import ProcessError

KNOWN, NEW = "poly", "mono"
SIZE = "64"
# A weak network on purpose: three minutes beside other work, and a third of what there is to know.
TRAINING = (
    *("--height", SIZE, "--width", SIZE, "--batch", "16", "--threads", "1"),
    *("--epochs", "6", "--tail-epochs", "1", "--bottleneck-epochs", "1", "--name", "cells"),
)
FEWER = 3
LONGEST_S = 900


@dataclass(frozen=True, slots=True)
class Cells:
    """Where a plant's pictures lie.

    known   the manifest that its first bundle is trained on
    lines   a manifest a line, by device
    learn   pictures that operators speak about; count: those on which escapes are counted
    """

    known: Path
    lines: dict[str, Path]
    learn: frozenset[str]
    count: frozenset[str]


def deal_cells(folder: Path, devices: Sequence[str]) -> Cells:
    """Near-identical cells are one part, so that they lie on one line and on one side."""
    cells = read("elpv").samples
    new = [cell for cell in cells if cell.domain == NEW]
    known = [(cell, _split(cell)) for cell in cells if cell.domain == KNOWN]
    few = [row for row in known if row[1] == "train"][::FEWER]
    taught = [cell.image.name for cell in new if _draw(cell, "use") < 0.5]
    lines = {}
    for number, device in enumerate(devices):
        here = [c for c in new if int(_draw(c, "line") * len(devices)) == number]
        lines[device] = _write(folder / device, [(cell, "test") for cell in here])
    return Cells(
        _write(folder / KNOWN, [*few, *(row for row in known if row[1] != "train")]),
        lines,
        frozenset(taught),
        frozenset(cell.image.name for cell in new) - frozenset(taught),
    )


def train(known: Path, folder: Path) -> tuple[Path, Path]:
    """The present bundle and its base network, by the commands that anybody would give."""
    bundle, run, base = folder / "present", folder / "present.run", folder / "base.npz"
    data = ("--data", str(known), "--out", str(bundle), "--run", str(run))
    splitsight("cloud", "train", *data, *TRAINING)
    splitsight("cloud", "base", "--run", str(run), "--out", str(base))
    return bundle, base


def splitsight(*words: str) -> str:
    """What a command says. Raises ProcessError where it fails."""
    done = subprocess.run(
        processes.splitsight(*words),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    if done.returncode:
        raise ProcessError(f"`splitsight {' '.join(words[:3])}` failed: {done.stderr[-500:]}")
    return done.stdout


def _split(cell: Sample) -> str:
    draw = _draw(cell, "split")
    return "train" if draw < 0.6 else "calibrate" if draw < 0.8 else "test"


def _draw(cell: Sample, what: str) -> float:
    """0–1, from the part's name alone."""
    return int.from_bytes(hashlib.sha256(f"{what} {cell.part}".encode()).digest()[:8]) / 2**64


def _write(folder: Path, rows: Iterable[tuple[Sample, str]]) -> Path:
    folder.mkdir(parents=True)
    path = folder / "parts.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "defect", "part", "domain", "split"])
        for cell, split in rows:
            writer.writerow([cell.image, cell.defect, cell.part, cell.domain, split])
    return path
