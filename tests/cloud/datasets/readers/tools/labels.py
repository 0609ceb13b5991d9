"""Files of labels, as their formats' specifications write them, and what readers make of them."""

from __future__ import annotations

import json
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.entry import DatasetReader, PictureEntry
from cloud.datasets.file_tree import FileTree
from tests.cloud.datasets.makers import part, save

HEIGHT, WIDTH = 48, 64


def pictures(folder: Path, *names: str) -> None:
    """Pictures of 64 × 48."""
    for number, name in enumerate(names):
        save(folder / name, part(number, size=WIDTH)[:HEIGHT])


def written(path: Path, content: object) -> Path:
    """Text as it is, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


class Reading:
    """What one reader made of a folder; flaws are kept, not raised."""

    def __init__(self, reader: DatasetReader, root: Path) -> None:
        tree = FileTree.of(root)
        assert reader.recognises(tree)
        self.root = root
        self.account = Account(skip_bad=True)
        self.entries = list(reader.entries(tree, self.account))
        self.account.close(tree.files)
        said = [*self.account.used("picture"), *self.account.used("labels")]
        said += [*self.account.used("mask"), *self.account.used("text")]
        left = [left.path for left in self.account.left_out]
        assert sorted([*said, *left]) == sorted(tree.files), "a file is in no account, or twice"

    def __getitem__(self, name: str) -> PictureEntry:
        (found,) = [entry for entry in self.entries if entry.image.name == name]
        return found

    @property
    def kinds(self) -> dict[str, str]:
        return {entry.image.name: entry.defect for entry in self.entries}

    @property
    def flaws(self) -> list[str]:
        """Without the folder in front."""
        return [str(flaw).removeprefix(f"{self.root}/") for flaw in self.account.flaws]

    @property
    def left_out(self) -> dict[str, str]:
        return {left.path.name: left.why for left in self.account.left_out}

    def marked(self, name: str) -> int:
        """Pixels that are defective in a picture."""
        mask = self[name].mask
        return 0 if mask is None else int(mask.pixels(HEIGHT, WIDTH).sum())
