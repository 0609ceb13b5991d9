"""ELPV solar cells from their wheel (`pip install elpv-dataset`), CC BY-NC-SA 4.0."""

from __future__ import annotations

from cloud.datasets.dataset import Dataset
from cloud.datasets.elpv_division import divide, group_cells
from cloud.datasets.elpv_wheel import LICENCE, elpv_cells
from cloud.datasets.partition import SHARES


def read_elpv(*, seed: int = 0) -> Dataset:
    """2,624 grey cells of 300 × 300 with the experts' probability as target.

    The published protocol tests on a quarter; calibration comes out of the training share. A cell
    counts as defective above one half. Near-identical cells share a part; splits are
    balanced over probability and cell type (`domain`: mono or poly).
    """
    cells = elpv_cells()
    parts, merged = group_cells([cell.image for cell in cells])
    splits = divide(parts, [f"{c.kind}-{c.probability:.2f}" for c in cells], SHARES, seed)
    samples = tuple(
        cell.sample(part, split) for cell, part, split in zip(cells, parts, splits, strict=True)
    )
    return Dataset(name="elpv", licence=LICENCE, samples=samples, merged=merged)
