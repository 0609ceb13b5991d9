"""Pascal VOC: an XML a picture, boxes in whole pixels, and masks where the set has them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import Split
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import is_good, split_of
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import Mask, MaskFiles
from cloud.datasets.outlines import Points, Size, polygon, rectangle
from cloud.datasets.readers.tools.documents import files_of, lines_of
from cloud.datasets.readers.tools.labelled_pictures import LabelledPictures
from cloud.datasets.readers.tools.picture_labels import LabelPlace, PictureLabels
from cloud.datasets.readers.tools.picture_names import split_in
from cloud.datasets.readers.tools.xml_elements import Element, elements, number_of, root_of

_SNIFFED = 20
# Each object in a colour of its own says more than each kind in one.
_MASKS = ("SegmentationObject", "SegmentationClass")


class VocReader:
    """Boxes that are counted from 1, polygons, turned boxes, and masks beside them.

    A picture whose XML has no object is good; one without an XML was not labelled.
    """

    name = "Pascal VOC"

    def recognises(self, tree: FileTree) -> bool:
        return any(root_of(path) == "annotation" for path in files_of(tree, ".xml")[:_SNIFFED])

    def entries(self, tree: FileTree, account: Account) -> Iterable[PictureEntry]:
        pictures = LabelledPictures(tree, account)
        masks = _masks(tree)
        splits = _Splits(tree, account)
        for path in files_of(tree, ".xml"):
            account.use(path, "labels")
            try:
                whole = _whole(path)
                picture = _picture(pictures, path, whole)
                split = splits.of(picture, path)
                place = LabelPlace(path)
                found = pictures.picture(place, picture, drawn_on=_size(whole), split=split)
            except LabelFault as fault:
                account.flaw(path, str(fault), fault.line)
                continue
            if found is not None:
                _mark(pictures, found, path, whole, masks.get(path.stem))
        splits.say()
        return pictures.entries("whose XML has no object")


def _whole(path: Path) -> Element:
    for element in elements(path, frozenset({"annotation"})):
        return element
    raise LabelFault("it has no element `annotation`")


def _picture(pictures: LabelledPictures, path: Path, whole: Element) -> Path:
    """By `filename`, or, where pictures were renamed, by the XML's own name."""
    near = (path.parent, *(path.parent.parent / name for name in ("JPEGImages", "images")))
    try:
        return pictures.names.find(whole.said("filename"), *near)
    except LabelFault as fault:
        own = pictures.names.beside(path)
        if own is None:
            raise LabelFault(str(fault), whole.line) from fault
        pictures.note("XML files name pictures that are not there: taken by their own names")
        return own


def _mark(
    pictures: LabelledPictures,
    picture: PictureLabels,
    path: Path,
    whole: Element,
    mask: Path | None,
) -> None:
    objects = whole.all("object")
    defects = [one for one in objects if not is_good(one.said("name"))]
    for index, one in enumerate(objects):
        place = LabelPlace(path, one.line, f"object {index}")
        # A mask of the whole picture says where; boxes then say no more.
        draw = partial(_drawn, one, mask if defects else None)
        pictures.mark(picture, place, one.said("name"), draw)


def _drawn(one: Element, mask: Path | None, size: Size) -> Mask | None:
    if mask is not None:
        return MaskFiles((mask,))
    corners = one.child("polygon")
    if corners is not None:
        return polygon(_corners(corners), size)
    turned = one.child("robndbox")
    if turned is not None:
        return _turned(turned, size)
    box = one.child("bndbox")
    if box is None:
        return None
    left, top, right, bottom = (
        number_of(box.said(name), name) for name in ("xmin", "ymin", "xmax", "ymax")
    )
    if right < left or bottom < top:
        raise LabelFault(f"its box ends before it begins ({left:g} to {right:g})")
    # The first pixel is 1, and the last lies inside.
    return rectangle(left - 1, top - 1, right - left + 1, bottom - top + 1, size)


def _turned(box: Element, size: Size) -> Mask:
    x, y, width, height, angle = (
        number_of(box.said(name), name) for name in ("cx", "cy", "w", "h", "angle")
    )
    left, top = x - width / 2, y - height / 2
    return rectangle(left, top, width, height, size, angle=math.degrees(angle), about=(x, y))


def _corners(said: Element) -> Points:
    """`pt` elements with x and y, or x1, y1, x2, y2 and so on."""
    points = said.all("pt")
    if points:
        return [(number_of(p.said("x"), "x"), number_of(p.said("y"), "y")) for p in points]
    count = sum(child.name.startswith("x") for child in said.children)
    return [
        (number_of(said.said(f"x{n}"), f"x{n}"), number_of(said.said(f"y{n}"), f"y{n}"))
        for n in range(1, count + 1)
    ]


def _size(whole: Element) -> Size | None:
    """None where a tool wrote none, or zeros."""
    width, height = whole.said("size", "width"), whole.said("size", "height")
    if not width or not height:
        return None
    size = int(number_of(height, "height")), int(number_of(width, "width"))
    return size if any(size) else None


def _masks(tree: FileTree) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in reversed(_MASKS):
        found |= {path.stem: path for path in tree.pictures if path.parent.name == folder}
    return found


class _Splits:
    """`ImageSets/Main/train.txt` and others: names of pictures, a line each."""

    def __init__(self, tree: FileTree, account: Account) -> None:
        self._tree, self._account = tree, account
        self._splits: dict[str, tuple[Split, Path]] = {}
        self._asked: set[str] = set()
        for path in tree.files:
            split = split_of(path.stem)
            if "ImageSets" in path.parts and path.suffix == ".txt":
                account.use(path, "labels")
                if split is not None:
                    self._read(path, split)

    def _read(self, path: Path, split: Split) -> None:
        try:
            lines = lines_of(path)
        except LabelFault as fault:
            self._account.flaw(path, str(fault), fault.line)
            return
        for number, line in enumerate(lines, 1):
            name = next(iter(line.split()), "")
            if not name:
                continue
            known, _ = self._splits.setdefault(name, (split, path))
            if known != split:
                self._account.flaw(path, f"{name} lies in two splits, {known} and {split}", number)

    def of(self, picture: Path, labels: Path) -> Split | None:
        """The list's word, else that of the folders."""
        self._asked.update((picture.stem, labels.stem))
        for name in (picture.stem, labels.stem):
            if name in self._splits:
                return self._splits[name][0]
        return split_in(self._tree, labels) or split_in(self._tree, picture)

    def say(self) -> None:
        """Names in lists that stand for no picture with labels."""
        for name, (_, path) in self._splits.items():
            if name not in self._asked:
                self._account.flaw(path, f"{name} has no file of labels")
