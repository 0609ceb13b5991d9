"""A folder through one reader, with all that it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.account import Account
from cloud.datasets.entry import DatasetReader, PictureEntry
from cloud.datasets.file_tree import FileTree
from tests.cloud.datasets.makers import save

Spot = tuple[int, int, int, int]


@dataclass(frozen=True)
class ReadFolder:
    """What a reader found under `root`, and its account."""

    root: Path
    entries: list[PictureEntry]
    account: Account

    @property
    def kinds(self) -> dict[str, str]:
        """Each picture's kind, by its path in the set."""
        return {self.named(entry.image): entry.defect for entry in self.entries}

    @property
    def splits(self) -> dict[str, str | None]:
        return {self.named(entry.image): entry.split for entry in self.entries}

    @property
    def flaws(self) -> list[str]:
        return [str(flaw).replace(f"{self.root}/", "") for flaw in self.account.flaws]

    @property
    def left_out(self) -> dict[str, str]:
        return {self.named(one.path): one.why for one in self.account.left_out}

    @property
    def notes(self) -> str:
        return "\n".join(self.account.notes)

    def of(self, name: str) -> PictureEntry:
        return next(entry for entry in self.entries if self.named(entry.image) == name)

    def named(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def read_with(reader: DatasetReader, source: Path) -> ReadFolder:
    """Everything through a reader that recognises it; flaws are gathered, not raised."""
    root, labels = (source, None) if source.is_dir() else (source.parent, source)
    tree = FileTree.of(root, labels)
    assert reader.recognises(tree), "this reader does not know it"
    account = Account(skip_bad=True)
    account.left_out.extend(tree.passed_over)
    entries = list(reader.entries(tree, account))
    account.close(tree.files)
    return ReadFolder(root, entries, account)


def recognised(reader: DatasetReader, source: Path) -> bool:
    root, labels = (source, None) if source.is_dir() else (source.parent, source)
    return reader.recognises(FileTree.of(root, labels))


def mask(
    size: tuple[int, int] = (64, 64), spot: Spot | None = (20, 20, 10, 6), value: int = 255
) -> NDArray[np.uint8]:
    """Black, with a spot (left, top, width, height); size as (height, width)."""
    pixels = np.zeros(size, np.uint8)
    if spot is not None:
        left, top, width, height = spot
        pixels[top : top + height, left : left + width] = value
    return pixels


def save_mask(path: Path, pixels: NDArray[np.uint8] | None = None) -> Path:
    return save(path, mask() if pixels is None else pixels)


def marked(entry: PictureEntry) -> int:
    """Pixels that its mask marks."""
    assert entry.mask is not None
    pixels = cv2.imread(str(entry.image), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    height, width = pixels.shape[:2]
    return int(entry.mask.pixels(height, width).sum())
