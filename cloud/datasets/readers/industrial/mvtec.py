"""The sets of MVTec and those in their form: `train/good`, `test/KIND`, `ground_truth/KIND`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import is_good
from cloud.datasets.readers.industrial.kind_folders import KindFolders

PRIVATE = "a private test picture, whose label MVTec keeps"
POINTS = "points in space; the colour picture is used"
# Of MVTec AD 2: one object of a number under several lights.
_LIGHT = re.compile(r"(\d+)_(regular|overexposed|underexposed|shift_\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class MvtecForm:
    """Any of them: its test folders hold the only defects, so that training divides anew.

    test    the folder of its tests
    beside  folders inside a product that only this form has, as `Path.match` takes them; empty:
            this form has none
    """

    name: str
    test: str = "test"
    beside: str = ""
    folders: KindFolders = field(default_factory=KindFolders)

    def recognises(self, tree: FileTree) -> bool:
        """Where a product has folders of these names, at any depth."""
        return tree.labels is None and any(
            product / self.test in tree.folders and self._has_beside(product, tree)
            for product in _products(tree)
        )

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`."""
        return self.folders.entries(tree, account)

    def _has_beside(self, product: Path, tree: FileTree) -> bool:
        return not self.beside or any(
            folder.match(self.beside) and product in folder.parents for folder in tree.folders
        )


@dataclass(frozen=True)
class MvtecAd2(MvtecForm):
    """One object under several lights is one part; the light ends the name of its domain."""

    name: str = "MVTec AD 2"
    test: str = "test_public"
    folders: KindFolders = field(
        default_factory=lambda: KindFolders(
            aside=dict.fromkeys(("test_private", "test_private_mixed"), PRIVATE),
            aliases={"test_public": "test"},
        )
    )

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`."""
        for entry in super().entries(tree, account):
            lit = _LIGHT.fullmatch(entry.image.stem)
            if lit is None:
                yield entry
                continue
            where = entry.image.parent.relative_to(tree.root).as_posix()
            light = lit[2].lower()
            domain = light if entry.domain == "all" else f"{entry.domain}/{light}"
            yield replace(entry, part=f"{where}/{lit[1]}", domain=domain)


MVTEC_FORMS = (
    MvtecAd2(),
    MvtecForm("MVTec LOCO", beside="ground_truth/*_anomalies"),
    MvtecForm("MVTec 3D-AD", beside="*/rgb", folders=KindFolders(aside={"xyz": POINTS})),
    MvtecForm("BTAD", beside="test/ko"),
    MvtecForm("MVTec AD"),
)
"""In the order of recognition; the last takes whatever has the form."""


def _products(tree: FileTree) -> Iterator[Path]:
    """Folders whose train holds folders of good parts (good, ok) and no other."""
    for folder in tree.folders:
        if folder.name == "train":
            kinds = tree.folders_in(folder)
            if kinds and all(is_good(kind.name) for kind in kinds):
                yield folder.parent
