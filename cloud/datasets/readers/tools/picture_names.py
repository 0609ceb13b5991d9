"""How labels name pictures, and splits: files of this tree by paths of any machine."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from cloud.datasets.account import Account
from cloud.datasets.dataset import Split
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import SPLIT_NAMES, split_of
from cloud.datasets.label_fault import LabelFault


class PictureNames:
    """Finds the pictures of a tree."""

    def __init__(self, tree: FileTree, account: Account) -> None:
        self._account = account
        self._files = {str(path): path for path in tree.pictures}
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in tree.pictures:
            self._by_name.setdefault(path.name.lower(), []).append(path)
            self._by_stem.setdefault(path.stem, []).append(path)

    def beside(self, labels: Path) -> Path | None:
        """The one picture that is called as a file of labels, None of none or several.

        Those in the same folder come before others.
        """
        every = self._by_stem.get(labels.stem, [])
        near = [path for path in every if path.parent == labels.parent] or every
        return near[0] if len(near) == 1 else None

    def find(self, name: str, *near: Path) -> Path:
        """The picture that a label names, with folders of either slash or of another machine.

        near   folders to which the name may be relative
        Raises LabelFault where there is none, or several that it could be.
        """
        wanted = PurePosixPath(name.replace("\\", "/").strip())
        if not wanted.name:
            raise LabelFault("it names no picture")
        for folder in near:
            # `..` leads to a sibling folder, and never out of the tree: only its files are known.
            found = self._files.get(os.path.normpath(f"{folder}/{wanted}"))
            if found is not None:
                return found
        alike = self._by_name.get(wanted.name.lower(), [])
        shared = [_common_tail(path, wanted) for path in alike]
        best = [path for path, tail in zip(alike, shared, strict=True) if tail == max(shared)]
        if not best:
            raise LabelFault(f"the picture {name} is not there")
        if len(best) > 1:
            raise LabelFault(f"{name} could be {len(best)} pictures, {best[0]} and {best[1]}")
        if len(wanted.parts) > 1:
            self._account.note("the labels name other folders: pictures are found by their names")
        return best[0]


def split_in(tree: FileTree, path: Path) -> Split | None:
    """The split that a folder between the set's own and a file is named after, the nearest."""
    for name in reversed(path.relative_to(tree.root).parts[:-1]):
        if (split := split_of(name)) is not None:
            return split
    return None


def split_named_in(*names: str) -> Split | None:
    """The split that a folder or file is named after: `val`, `instances_train2017.json`."""
    for name in names:
        for word in re.split(r"[^a-z]+", name.lower()):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return None


def without_dots(path: Path) -> Path:
    """A path with `..` taken away by name: links to folders are not followed."""
    return Path(os.path.normpath(path))


def _common_tail(path: Path, wanted: PurePosixPath) -> int:
    count = 0
    for mine, other in zip(reversed(path.parts), reversed(wanted.parts), strict=False):
        if mine.lower() != other.lower():
            break
        count += 1
    return count
