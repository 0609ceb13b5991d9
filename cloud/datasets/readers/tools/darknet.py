"""Darknet's lists: of kinds, and of the pictures of a split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cloud.datasets.account import Account
from cloud.datasets.dataset import Split
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import split_of
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.readers.tools.documents import lines_of
from cloud.datasets.readers.tools.picture_names import without_dots


@dataclass(slots=True)
class YoloLayout:
    """kinds      by their numbers
    pictures   each with the split that it is in, None where nobody said
    keypoints  numbers that follow the box of a pose
    """

    kinds: dict[int, str] = field(default_factory=dict)
    pictures: dict[Path, Split | None] = field(default_factory=dict)
    keypoints: int = 0


def read_darknet(tree: FileTree, account: Account, path: Path) -> YoloLayout:
    """`train = data/train.txt`, `names = data/obj.names`: by name, since paths are a machine's."""
    layout = YoloLayout()
    for number, line in enumerate(lines_of(path), 1):
        key, is_pair, value = (part.strip() for part in line.partition("="))
        name = PurePosixPath(value.replace("\\", "/")).name
        if not is_pair or key not in {"names", "train", "valid", "test"}:
            continue
        found = next((file for file in tree.files if file.name == name), None)
        if found is None:
            # Exports name a list of tests that they don't have.
            if key == "names":
                raise LabelFault(f"its list of names, {value}, is not there", number)
            continue
        account.use(found, "labels")
        if key == "names":
            layout.kinds = dict(enumerate(one.strip() for one in lines_of(found) if one.strip()))
        else:
            split = split_of(key)
            for picture in listed_pictures(tree, account, found, path.parent):
                layout.pictures.setdefault(picture, split)
    return layout


def listed_pictures(tree: FileTree, account: Account, path: Path, root: Path) -> Iterator[Path]:
    """The pictures in a list of names; what is wrong with the list becomes a flaw.

    root   to which names may be relative, beside the list's own folder
    """
    files = frozenset(tree.pictures)
    by_name: dict[str, list[Path]] = {}
    for picture in tree.pictures:
        by_name.setdefault(picture.name, []).append(picture)
    try:
        lines = lines_of(path)
    except LabelFault as fault:
        account.flaw(path, str(fault), fault.line)
        return
    for number, line in enumerate(lines, 1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        # By its name alone, too: paths in a list are those of the machine that wrote it.
        alike = by_name.get(PurePosixPath(name).name, [])
        wanted = [without_dots(folder / name) for folder in (path.parent, root)]
        wanted += alike if len(alike) == 1 else []
        found = next((one for one in wanted if one in files), None)
        if found is None:
            account.flaw(path, f"the picture {name} is not there", number)
        else:
            yield found
