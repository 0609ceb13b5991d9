"""Data sets on disk → `Dataset`. `read` finds out which kind a path holds."""

from __future__ import annotations

from pathlib import Path

from cloud.datasets.dataset import Dataset, check
from cloud.datasets.readers.elpv import read_elpv
from cloud.datasets.readers.folders import looks_like_mvtec, read_folders, read_mvtec
from cloud.datasets.readers.manifest import read_manifest
from shared.errors import DataError

__all__ = ["read"]


def read(source: str, *, seed: int = 0) -> Dataset:
    """Read a data set.

    source   `elpv` (from its wheel), a CSV manifest or a folder that holds one
             (`splits.csv`, `manifest.csv`), an MVTec folder, or a folder with `good` and
             `bad` (any other name counts as a kind of defect)
    seed     of the division into splits, where the set has none of its own
    Raises DataError where the path holds none of these.
    """
    if source == "elpv":
        return check(read_elpv(seed=seed))
    path = Path(source).resolve()
    if path.suffix == ".csv":
        return check(read_manifest(path, seed=seed))
    if not path.is_dir():
        raise DataError(
            f"{source} is neither a folder nor a CSV manifest nor a set known by name",
            fix="give a path, or `elpv`",
        )
    for name in ("splits.csv", "manifest.csv"):
        if (path / name).is_file():
            return check(read_manifest(path / name, seed=seed))
    if looks_like_mvtec(path):
        return check(read_mvtec(path, seed=seed))
    return check(read_folders(path, seed=seed))
