"""DAGM 2007: `Class1/Train/0576.PNG`, and in `Label` what is defective and a mask of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import SUFFIXES, FileTree
from cloud.datasets.kinds import split_of
from cloud.datasets.masks import MaskFiles

_FIELDS = 5


class DagmReader:
    """Each class is a texture with a defect of its own, and becomes a domain."""

    name = "DAGM 2007"

    def recognises(self, tree: FileTree) -> bool:
        """Where a folder `Label` holds `Labels.txt`."""
        return tree.labels is None and bool(_lists(tree))

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`. What `Labels.txt` and the folders say against each other is a
        flaw."""
        account.note("the owner's division is kept: train, test")
        for listed in _lists(tree):
            account.use(listed, "labels")
            said = _labels(listed, account)
            masks = {path.name.lower(): path for path in tree.inside(listed.parent)}
            for image in tree.inside(listed.parent.parent):
                if image.suffix.lower() in SUFFIXES:
                    yield from _entry(image, said, masks, listed, account)


def _entry(
    image: Path,
    said: dict[str, tuple[int, str]],
    masks: dict[str, Path],
    listed: Path,
    account: Account,
) -> Iterator[PictureEntry]:
    line, named = said.get(image.name.lower(), (0, ""))
    drawn = masks.get(f"{image.stem}_label{image.suffix}".lower())
    if not line:
        account.flaw(listed, f"does not list {image.name}")
    elif named and named.lower() not in masks:
        account.flaw(listed, f"{image.name} is defective, and its mask {named} is not there", line)
    elif drawn is not None and not named:
        account.flaw(listed, f"{image.name} is good, and there is a mask {drawn.name}", line)
    else:
        account.use(image, "picture")
        mask = masks[named.lower()] if named else None
        if mask is not None:
            account.use(mask, "mask")
        texture = image.parent.parent.name
        yield PictureEntry(
            image,
            f"defect of {texture}" if named else GOOD,
            mask=MaskFiles((mask,)) if mask else None,
            domain=texture,
            split=split_of(image.parent.name),
        )


def _lists(tree: FileTree) -> list[Path]:
    return [
        path
        for path in tree.files
        if path.name.lower() == "labels.txt" and path.parent.name.lower() == "label"
    ]


def _labels(listed: Path, account: Account) -> dict[str, tuple[int, str]]:
    """Of each picture by its name in lower case: the line, and its mask's name or nothing."""
    found: dict[str, tuple[int, str]] = {}
    for line, text in enumerate(listed.read_text("utf-8", "replace").splitlines(), 1):
        # The first line holds a single number: 576 1 0576.PNG 1 0576_label.PNG are the others.
        fields = text.split()
        if len(fields) == _FIELDS and {fields[1], fields[3]} <= {"0", "1"}:
            defective = fields[1] == "1" or fields[3] == "1"
            found[fields[2].lower()] = (line, fields[4] if defective else "")
        elif len(fields) > 1:
            account.flaw(listed, f"{text[:60]!r} is no line of `1 0 0001.PNG 0 0`", line)
    return found
