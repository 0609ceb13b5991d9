"""ELPV solar cells from their wheel (`pip install elpv-dataset`), CC BY-NC-SA 4.0."""

from __future__ import annotations

from cloud.training.dataset import GOOD, Dataset, Sample, Split
from cloud.training.elpv_wheel import elpv_cells
from cloud.training.partition import divide, group_near_identical

LICENCE = "CC BY-NC-SA 4.0 (Deitsch et al., elpv-dataset): not for commercial use"
# The published protocol tests on a quarter; calibration comes out of the training share.
SHARES: dict[Split, float] = {"train": 0.60, "calibrate": 0.15, "test": 0.25}


def read_elpv(*, seed: int = 0) -> Dataset:
    """2,624 grey cells of 300 × 300 with the experts' probability as target.

    A cell counts as defective above one half. Near-identical cells share a part; splits are
    balanced over probability and cell type (`domain`: mono or poly).
    """
    cells = elpv_cells()
    parts, merged = group_near_identical([cell.image for cell in cells])
    splits = divide(parts, [f"{c.kind}-{c.probability:.2f}" for c in cells], SHARES, seed)
    samples = tuple(
        Sample(
            image=cell.image,
            mask=None,
            defect="defect" if cell.defective else GOOD,
            target=cell.probability,
            part=part,
            domain=cell.kind,
            split=split,
        )
        for cell, part, split in zip(cells, parts, splits, strict=True)
    )
    return Dataset(name="elpv", licence=LICENCE, samples=samples, merged=merged)
