"""KolektorSDD and KolektorSDD2: each picture has a mask; where that is empty, the part is good."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import SUFFIXES, FileTree
from cloud.datasets.kinds import split_of
from cloud.datasets.mask_pixels import mask_pixels
from cloud.datasets.masks import MaskFiles
from shared.opener import Unopenable


@dataclass(frozen=True)
class KolektorForm:
    """Either of them.

    folder  of pictures, as a pattern
    mask    what a mask's name has behind its picture's
    names   what a folder's name is: the part that its pictures are of, or the owner's split
    """

    name: str
    folder: re.Pattern[str]
    mask: str
    names: Literal["part", "split"]

    def recognises(self, tree: FileTree) -> bool:
        """Where a folder of that name holds a mask."""
        return tree.labels is None and any(
            self.mask in path.name and self.folder.fullmatch(path.parent.name)
            for path in tree.pictures
        )

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`. A picture without a mask is a flaw."""
        account.note("pictures whose mask is empty are good")
        for image in tree.pictures:
            if not self.folder.fullmatch(image.parent.name) or image.stem.endswith(self.mask):
                continue
            marked = self._marked(image, tree, account)
            if marked is None:
                continue
            mask, defective = marked
            account.use(image, "picture")
            account.use(mask, "mask")
            where = image.parent.name
            yield PictureEntry(
                image,
                "defect" if defective else GOOD,
                mask=MaskFiles((mask,)),
                part=where if self.names == "part" else "",
                split=split_of(where) if self.names == "split" else None,
            )

    def _marked(self, image: Path, tree: FileTree, account: Account) -> tuple[Path, bool] | None:
        """Its mask, and whether that marks anything."""
        beside = set(tree.inside(image.parent))
        names = (image.with_name(f"{image.stem}{self.mask}{suffix}") for suffix in SUFFIXES)
        mask = next((path for path in names if path in beside), None)
        if mask is None:
            account.flaw(image, f"has no mask {image.stem}{self.mask} beside it")
            return None
        try:
            return mask, bool(mask_pixels(mask).any())
        except Unopenable as error:
            account.flaw(mask, f"is not a mask that can be read ({error})")
            return None


KOLEKTOR_FORMS = (
    KolektorForm("KolektorSDD", re.compile(r"kos\d+"), "_label", "part"),
    KolektorForm("KolektorSDD2", re.compile(r"train|test"), "_GT", "split"),
)
