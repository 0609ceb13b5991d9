"""COCO: one JSON of pictures, kinds and annotations, or one a split."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from cloud.datasets.account import Account
from cloud.datasets.dataset import Split
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.readers.tools.coco_document import (
    CocoAnnotation,
    CocoCategory,
    CocoDocument,
    CocoKey,
    CocoPicture,
    CocoReference,
    drawn,
)
from cloud.datasets.readers.tools.documents import converted, files_of, json_of, keys_of
from cloud.datasets.readers.tools.labelled_pictures import LabelledPictures
from cloud.datasets.readers.tools.picture_labels import LabelPlace, PictureLabels
from cloud.datasets.readers.tools.picture_names import split_named_in

# Where tools put pictures, beside the folder of the labels.
_FOLDERS = ("images", "data", "JPEGImages")
_SNIFFED = 50


class CocoReader:
    """Polygons, masks of runs in both forms, and boxes where an annotation has nothing finer."""

    name = "COCO"

    def recognises(self, tree: FileTree) -> bool:
        return any(_is_coco(path) for path in files_of(tree, ".json")[:_SNIFFED])

    def entries(self, tree: FileTree, account: Account) -> Iterable[PictureEntry]:
        files = [path for path in files_of(tree, ".json") if _is_coco(path)]
        pictures = LabelledPictures(tree, account)
        for path in files:
            account.use(path, "labels")
            # A single file holds every split, whatever it is called.
            folders = reversed(path.relative_to(tree.root).parts[:-1])
            split = split_named_in(path.stem, *folders) if len(files) > 1 else None
            try:
                _CocoFile(tree, account, pictures, path, split).read()
            except LabelFault as fault:
                account.flaw(path, str(fault), fault.line)
        return pictures.entries("without annotations")


class _CocoFile:
    """One JSON file."""

    def __init__(
        self,
        tree: FileTree,
        account: Account,
        pictures: LabelledPictures,
        path: Path,
        split: Split | None,
    ) -> None:
        self._account, self._pictures = account, pictures
        self._path, self._split = path, split
        self._near = _near(tree, path)
        self._kinds: dict[CocoKey, str] = {}
        self._named: dict[CocoKey, PictureLabels | None] = {}

    def read(self) -> None:
        """Raises LabelFault where the file as a whole is none of COCO's."""
        whole = json_of(self._path, CocoDocument)
        if whole.annotations is None:
            self._account.note(f"{self._path.name} has no annotations: its pictures are left out")
            return
        for index, raw in enumerate(whole.categories):
            self._categorise(self._place("category", index), raw)
        self._pictures.declare(self._kinds.values())
        for index, raw in enumerate(whole.images):
            self._name(self._place("image", index), raw)
        for index, raw in enumerate(whole.annotations):
            self._annotate(self._place("annotation", index), raw)

    def _place(self, what: str, index: int) -> LabelPlace:
        return LabelPlace(self._path, entry=f"{what} {index}")

    def _categorise(self, place: LabelPlace, raw: msgspec.Raw) -> None:
        try:
            category = converted(raw, CocoCategory)
        except LabelFault as fault:
            self._pictures.flaw(place, str(fault))
            return
        if self._kinds.setdefault(category.id, category.name) != category.name:
            self._pictures.flaw(place, f"the id {category.id} has two names")

    def _name(self, place: LabelPlace, raw: msgspec.Raw) -> None:
        try:
            said = converted(raw, CocoPicture)
            path = self._pictures.names.find(said.file_name, *self._near)
        except LabelFault as fault:
            self._pictures.flaw(place, str(fault))
            return
        size = None
        if said.width is not None and said.height is not None:
            size = int(said.height), int(said.width)
        picture = self._pictures.picture(place, path, drawn_on=size, split=self._split)
        other = self._named.setdefault(said.id, picture)
        if other is not picture:
            for one in (other, picture):
                if one is not None:
                    self._pictures.spoil(one, place, f"the id {said.id} is that of two pictures")

    def _annotate(self, place: LabelPlace, raw: msgspec.Raw) -> None:
        try:
            annotation = converted(raw, CocoAnnotation)
        except LabelFault as fault:
            self._spoil(place, raw, str(fault))
            return
        picture = self._named.get(annotation.image_id)
        if picture is None:
            if annotation.image_id not in self._named:
                self._pictures.flaw(place, f"no picture has the id {annotation.image_id}")
            return
        kind = self._kinds.get(annotation.category_id)
        if kind is None:
            what = f"no category has the id {annotation.category_id}"
            self._pictures.spoil(picture, place, what)
            return
        self._pictures.mark(picture, place, kind, lambda size: drawn(annotation, size))

    def _spoil(self, place: LabelPlace, raw: msgspec.Raw, what: str) -> None:
        """Costs the annotation's picture, or every one of this file where it can't be told."""
        try:
            picture = self._named.get(converted(raw, CocoReference).image_id)
        except LabelFault:
            for one in self._named.values():
                if one is not None:
                    one.spoilt = True
            picture = None
        if picture is not None:
            picture.spoilt = True
        self._pictures.flaw(place, what)


def _is_coco(path: Path) -> bool:
    keys = keys_of(path)
    return "file_name" in keys and bool(keys & {"images", "annotations", "categories"})


def _near(tree: FileTree, path: Path) -> list[Path]:
    """Folders to which tools name pictures: the labels' own, the set's, and those for pictures."""
    above = [folder for folder in (path.parent, *path.parent.parents) if folder != tree.root.parent]
    roots = above[: above.index(tree.root) + 1]
    folders = [root / name for root in roots for name in ("", *_FOLDERS)]
    # `instances_val2017.json` names what lies in `val2017`.
    own = path.stem.rpartition("_")[2]
    return [*folders, *(folder / own for folder in folders)]
