"""A CSV manifest: `image, mask, defect, part, domain, split`, paths relative to its folder."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from cloud.datasets.dataset import GOOD, SPLITS, Dataset, Sample, Split
from cloud.datasets.partition import divide, group_near_identical
from shared.errors import DataError

GOOD_NAMES = frozenset({"", "good", "free", "ok", "normal", "none"})
SHARES: dict[Split, float] = {"train": 0.6, "calibrate": 0.15, "test": 0.25}
COLUMNS = ("image", "mask", "defect", "part", "domain", "split")


def read_manifest(path: Path, *, seed: int = 0) -> Dataset:
    """Read a manifest; only `image` and `defect` are needed.

    Without `part`, near-identical pictures are found and kept together; without `split`,
    parts are divided here, balanced by defect. Raises DataError naming the line.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there", fix="give the path of a CSV manifest")
    try:
        # Spreadsheets put a byte order mark first.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error})", fix="save it as UTF-8") from error
    if "\0" in text:
        raise DataError(
            f"{path.name}:{text[: text.index(chr(0))].count(chr(10)) + 1}: there is a NUL byte",
            fix="save it as UTF-8 text again; the file is damaged, or in UTF-16",
        )
    with io.StringIO(text, newline="") as stream:
        reader = csv.DictReader(stream, skipinitialspace=True, restval="")
        columns = set(reader.fieldnames or ())
        lacking = {"image", "defect"} - columns
        if lacking:
            raise DataError(
                f"{path.name} has no column {', '.join(sorted(lacking))} (it has "
                f"{', '.join(sorted(columns)) or 'none'})",
                fix=f"its columns are {', '.join(COLUMNS)}",
            )
        rows = [(reader.line_num, row) for row in reader]
    root = path.parent
    images = [root / row["image"] for _, row in rows]
    kinds = [_kind(row["defect"]) for _, row in rows]
    merged = 0
    if "part" in columns:
        parts = [row["part"] or row["image"] for _, row in rows]
    else:
        parts, merged = group_near_identical(images)
    if "split" in columns:
        splits = [_split(path, line, row["split"]) for line, row in rows]
    else:
        splits = divide(parts, kinds, SHARES, seed)
    samples = tuple(
        Sample(
            image=image,
            mask=root / row["mask"] if row.get("mask") else None,
            defect=kind,
            target=float(kind != GOOD),
            part=part,
            domain=row.get("domain") or "all",
            split=split,
        )
        for (_, row), image, kind, part, split in zip(
            rows, images, kinds, parts, splits, strict=True
        )
    )
    return Dataset(name=root.name, licence=_licence(root), samples=samples, merged=merged)


def _kind(defect: str) -> str:
    return GOOD if defect.strip().lower() in GOOD_NAMES else defect.strip()


def _split(path: Path, line: int, name: str) -> Split:
    for split in SPLITS:
        if name.strip() == split:
            return split
    raise DataError(f"{path.name}:{line}: split is {name!r}", fix=f"use one of {', '.join(SPLITS)}")


def _licence(root: Path) -> str:
    for name in ("LICENSE", "LICENCE", "LICENSE.txt", "license.txt"):
        if (root / name).is_file():
            return (root / name).read_text(errors="replace").splitlines()[0].strip()
    return "not stated by the data set"
