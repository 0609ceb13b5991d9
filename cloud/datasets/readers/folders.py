"""Data sets that are plain folders: MVTec's layout, and good/bad."""

from __future__ import annotations

from pathlib import Path

from cloud.datasets.dataset import GOOD, Dataset, Sample
from cloud.datasets.partition import divide, group_near_identical
from cloud.datasets.readers.manifest import GOOD_NAMES, SHARES
from shared.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def pictures(folder: Path) -> list[Path]:
    """Picture files below a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def looks_like_mvtec(path: Path) -> bool:
    return (path / "train" / "good").is_dir() and (path / "test").is_dir()


def read_mvtec(path: Path, *, seed: int = 0) -> Dataset:
    """`train/good`, `test/<defect>`, `ground_truth/<defect>/<name>_mask.png`.

    MVTec's test folders hold the only defects, so supervised training divides all parts anew,
    balanced by defect; the note says so.
    """
    entries: list[tuple[Path, Path | None, str]] = [
        (image, None, GOOD) for image in pictures(path / "train" / "good")
    ]
    for folder in sorted(entry for entry in (path / "test").iterdir() if entry.is_dir()):
        entries += [
            (image, _mask_of(path, folder.name, image), folder.name) for image in pictures(folder)
        ]
    note = "divided anew: MVTec's own training folder has no defects"
    return _divided(path, entries, seed, (note,))


def read_folders(path: Path, *, seed: int = 0) -> Dataset:
    """One folder a kind: `good` (or ok, normal, free) and any others, each a kind of defect.

    Without defects it can be trained on with --good-only.
    """
    kinds = sorted(entry for entry in path.iterdir() if entry.is_dir())
    names = {folder.name.lower() for folder in kinds}
    if not names & GOOD_NAMES:
        raise DataError(
            f"{path} has the folders {', '.join(sorted(names)) or 'none'}",
            fix="put good parts in a folder `good`, and others, if any, in one folder a kind of "
            "defect",
        )
    entries: list[tuple[Path, Path | None, str]] = [
        (image, None, folder.name) for folder in kinds for image in pictures(folder)
    ]
    return _divided(path, entries, seed, ())


def _mask_of(root: Path, defect: str, image: Path) -> Path | None:
    folder = root / "ground_truth" / defect
    for name in (f"{image.stem}_mask.png", f"{image.stem}.png"):
        if (folder / name).is_file():
            return folder / name
    return None


def _divided(
    root: Path,
    entries: list[tuple[Path, Path | None, str]],
    seed: int,
    notes: tuple[str, ...],
) -> Dataset:
    if not entries:
        raise DataError(f"{root} holds no pictures", fix=f"known types: {', '.join(SUFFIXES)}")
    images = [image for image, _, _ in entries]
    kinds = [GOOD if kind.lower() in GOOD_NAMES else kind for _, _, kind in entries]
    parts, merged = group_near_identical(images)
    splits = divide(parts, kinds, SHARES, seed)
    samples = tuple(
        Sample(image, mask, kind, float(kind != GOOD), part, "all", split)
        for (image, mask, _), kind, part, split in zip(entries, kinds, parts, splits, strict=True)
    )
    return Dataset(root.name, "not stated by the data set", samples, merged, notes)
