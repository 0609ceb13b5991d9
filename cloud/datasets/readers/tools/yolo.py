"""YOLO: a text a picture, a line an object, everything as shares of the picture's size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import Mask
from cloud.datasets.outlines import Size, paired, polygon, rectangle
from cloud.datasets.readers.tools.darknet import YoloLayout
from cloud.datasets.readers.tools.documents import lines_of
from cloud.datasets.readers.tools.labelled_pictures import LabelledPictures
from cloud.datasets.readers.tools.picture_labels import LabelPlace, PictureLabels
from cloud.datasets.readers.tools.yolo_layout import (
    descriptions,
    holds_labels,
    read_layout,
)

UNLABELLED = "of a split without a single file of labels"


class YoloReader:
    """Boxes, polygons and turned boxes, in Ultralytics' and in Darknet's folders.

    A picture without a file of labels, or with an empty one, is good: that is YOLO's own rule. A
    split in which no picture has one was not labelled, and is left out.
    """

    name = "YOLO"

    def recognises(self, tree: FileTree) -> bool:
        return bool(descriptions(tree))

    def entries(self, tree: FileTree, account: Account) -> Iterable[PictureEntry]:
        pictures = LabelledPictures(tree, account)
        labelled: set[Path] = set()
        for path in descriptions(tree):
            try:
                layout = read_layout(tree, account, path)
            except LabelFault as fault:
                account.flaw(path, str(fault), fault.line)
                continue
            labelled |= _Labels(tree, account, pictures, layout).read(labelled)
        _strays(tree, account, labelled)
        return pictures.entries("without labels")


class _Labels:
    """The texts of one layout."""

    def __init__(
        self, tree: FileTree, account: Account, pictures: LabelledPictures, layout: YoloLayout
    ) -> None:
        self._account, self._pictures, self._layout = account, pictures, layout
        self._root, self._files = tree.root, frozenset(tree.files)
        pictures.declare(layout.kinds.values())

    def read(self, known: set[Path]) -> set[Path]:
        """Every place at which labels were looked for, but for those that are read already."""
        places = {path: _labels_of(self._root, path) for path in self._layout.pictures}
        places = {path: text for path, text in places.items() if text not in known}
        splits = self._layout.pictures
        labelled = {splits[path] for path, text in places.items() if text in self._files}
        for path, text in places.items():
            if splits[path] not in labelled:
                self._account.leave_out(path, UNLABELLED)
                self._account.note(
                    f"no picture of {splits[path] or 'this set'} has a file of labels: left out"
                )
                continue
            place = LabelPlace(text if text in self._files else path)
            picture = self._pictures.picture(place, path, split=splits[path])
            if text not in self._files:
                continue
            self._account.use(text, "labels")
            if picture is not None:
                self._read(picture, text)
        return set(places.values())

    def _read(self, picture: PictureLabels, text: Path) -> None:
        try:
            lines = lines_of(text)
        except LabelFault as fault:
            self._pictures.spoil(picture, LabelPlace(text), str(fault), fault.line)
            return
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._mark(picture, LabelPlace(text, number), line.split())

    def _mark(self, picture: PictureLabels, place: LabelPlace, words: list[str]) -> None:
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            self._pictures.spoil(picture, place, f"{' '.join(words)[:60]!r} are no numbers")
            return
        kinds = self._layout.kinds
        kind = kinds.get(int(numbers[0])) if numbers[0].is_integer() else None
        if kind is None:
            what = f"the kind {words[0]} is none of the {len(kinds)} that have names"
            self._pictures.spoil(picture, place, what)
            return
        draw = partial(_drawn, numbers[1:], self._layout.keypoints)
        self._pictures.mark(picture, place, kind, draw)


def _drawn(numbers: list[float], keypoints: int, size: Size) -> Mask:
    if not all(math.isfinite(number) for number in numbers):
        raise LabelFault("a coordinate is no finite number")
    height, width = size
    if len(numbers) == 4 or (keypoints and len(numbers) == 4 + keypoints):
        middle, centre, across, down = numbers[:4]
        left, top = (middle - across / 2) * width, (centre - down / 2) * height
        return rectangle(left, top, across * width, down * height, size)
    if len(numbers) < 6 or len(numbers) % 2:
        raise LabelFault(
            f"{len(numbers)} numbers after the kind; a box has 4, a turned box 8, a polygon a pair "
            f"a corner"
        )
    return polygon([(x * width, y * height) for x, y in paired(numbers)], size)


def _labels_of(root: Path, picture: Path) -> Path:
    """`images` becomes `labels`, the last of that name; else labels lie beside the picture."""
    parts = list(picture.relative_to(root).with_suffix(".txt").parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return root.joinpath(*parts)


def _strays(tree: FileTree, account: Account, labelled: set[Path]) -> None:
    """A text of labels whose picture is missing: lost, or renamed."""
    folders = {path.parent for path in labelled}
    known = {*labelled, *account.used("labels")}
    for path in tree.files:
        stray = path.suffix.lower() == ".txt" and path.parent in folders and path not in known
        if stray and holds_labels(path):
            account.flaw(path, "labels of a picture that is not there")
            account.use(path, "labels")
