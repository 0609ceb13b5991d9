"""The files of a data set on disk, without those that no tool of labels or pictures has made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cloud.datasets.account import LeftOut

SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".webp",
        ".pgm",
        ".ppm",
        ".pnm",
        ".jp2",
        ".avif",
    ]
)
SYSTEM = frozenset(
    [
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "lost+found",
        "thumbs.db",
        "desktop.ini",
        ".ds_store",
    ]
)
OF_THE_SYSTEM = "hidden, or of the operating system"
OF_A_RUN = "written by a training"
UNPACKED = ".splitsight"
"""A folder of pictures out of the set's containers: those are accounted for, not what is in it."""


@dataclass(frozen=True)
class FileTree:
    """All files below a folder, in the order of their paths, and those that belong to nobody.

    Links are followed to files, never to folders, so that nothing is read twice or without end.
    labels   the file of labels that was asked for by its path; None: the folder was
    """

    root: Path
    files: tuple[Path, ...]
    passed_over: tuple[LeftOut, ...]
    labels: Path | None = None

    @classmethod
    def of(cls, root: Path, labels: Path | None = None) -> FileTree:
        """Walk a folder. Raises OSError where it can't be listed."""
        files: list[Path] = []
        passed: list[LeftOut] = []
        for folder, folders, names in os.walk(root, onerror=_raised):
            here = Path(folder)
            folders[:] = [name for name in folders if name != UNPACKED]
            if here != root and _of_a_run(names):
                passed += [LeftOut(here / name, OF_A_RUN) for name in sorted(names)]
                folders.clear()
                continue
            for name in sorted(folders):
                if _of_the_system(name):
                    passed += [LeftOut(path, OF_THE_SYSTEM) for path in _below(here / name)]
            folders[:] = sorted(name for name in folders if not _of_the_system(name))
            for name in names:
                if _of_the_system(name):
                    passed.append(LeftOut(here / name, OF_THE_SYSTEM))
                else:
                    files.append(here / name)
        return cls(root, tuple(sorted(files)), tuple(passed), labels)

    @cached_property
    def pictures(self) -> tuple[Path, ...]:
        """Those whose name ends as a picture's, in upper or lower case."""
        return tuple(path for path in self.files if path.suffix.lower() in SUFFIXES)

    @cached_property
    def _by_folder(self) -> dict[Path, list[Path]]:
        found: dict[Path, list[Path]] = {}
        for path in self.files:
            found.setdefault(path.parent, []).append(path)
        return found

    @cached_property
    def folders(self) -> frozenset[Path]:
        """Every folder that holds a file, or one that does; the root, too."""
        found = {self.root}
        for folder in self._by_folder:
            found.update(above for above in (folder, *folder.parents) if self.root in above.parents)
        return frozenset(found)

    def inside(self, folder: Path) -> list[Path]:
        """The files of one folder, without those of the folders in it."""
        return list(self._by_folder.get(folder, ()))

    def pictures_below(self, folder: Path) -> list[Path]:
        return [path for path in self.pictures if folder in path.parents]

    def folders_in(self, folder: Path) -> list[Path]:
        return sorted(found for found in self.folders if found.parent == folder and found != folder)


def _raised(error: OSError) -> None:
    raise error


def _of_the_system(name: str) -> bool:
    return name.startswith((".", "._", "~$")) or name.lower() in SYSTEM


def _of_a_run(names: list[str]) -> bool:
    """A bundle (its manifest beside a head), or the folder of a training or of what is recorded."""
    return {"manifest.json", "head.onnx"} <= set(names) or bool(
        {"checkpoint.pt", "record.json", "mlflow.db", "study.db"} & set(names)
    )


def _below(folder: Path) -> Iterator[Path]:
    for above, _, names in os.walk(folder):
        yield from (Path(above) / name for name in sorted(names))
