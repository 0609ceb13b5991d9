"""CVAT for images 1.1: one XML of all pictures."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import split_of
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import Mask
from cloud.datasets.outlines import Points, Size, dots, ellipse, polygon, rectangle, strip
from cloud.datasets.readers.tools.documents import files_of
from cloud.datasets.readers.tools.labelled_pictures import LabelledPictures
from cloud.datasets.readers.tools.picture_labels import LabelPlace, nowhere
from cloud.datasets.readers.tools.picture_names import split_in
from cloud.datasets.readers.tools.xml_elements import Element, elements, number_of, root_of
from cloud.datasets.run_lengths import RunLengths

_SNIFFED = 20
_WHOLE = frozenset({"image", "label", "track"})


class CvatReader:
    """Boxes, polygons, lines, points, ellipses, masks, and tags of the whole picture.

    Every picture of a task is in the XML; one without any shape is good.
    """

    name = "CVAT"

    def recognises(self, tree: FileTree) -> bool:
        return any(root_of(path) == "annotations" for path in files_of(tree, ".xml")[:_SNIFFED])

    def entries(self, tree: FileTree, account: Account) -> Iterable[PictureEntry]:
        pictures = LabelledPictures(tree, account)
        for path in files_of(tree, ".xml"):
            if root_of(path) != "annotations":
                continue
            account.use(path, "labels")
            try:
                for element in elements(path, _WHOLE):
                    _take(tree, pictures, path, element)
            except LabelFault as fault:
                account.flaw(path, str(fault), fault.line)
        return pictures.entries("without shapes and tags")


def _take(tree: FileTree, pictures: LabelledPictures, path: Path, element: Element) -> None:
    match element.name:
        case "label":
            pictures.declare([element.said("name")])
        case "track":
            raise LabelFault(
                "it is CVAT for video, whose shapes lie between pictures; export it as CVAT for "
                "images",
                element.line,
            )
        case _:
            _image(tree, pictures, path, element)


def _image(tree: FileTree, pictures: LabelledPictures, path: Path, said: Element) -> None:
    name = said.attributes.get("name", "")
    place = LabelPlace(path, said.line, f"image {said.attributes.get('id', name)}")
    try:
        size = int(_number(said, "height")), int(_number(said, "width"))
        found = pictures.names.find(name, path.parent, path.parent / "images")
    except LabelFault as fault:
        pictures.flaw(place, str(fault))
        return
    subset = split_of(said.attributes.get("subset", ""))
    split = subset or split_in(tree, found)
    picture = pictures.picture(place, found, drawn_on=size, split=split)
    if picture is None:
        return
    for shape in said.children:
        kind = shape.attributes.get("label", "")
        where = LabelPlace(path, shape.line, f"{shape.name} on {found.name}")
        tag = shape.name == "tag"
        pictures.mark(picture, where, kind, nowhere if tag else partial(_drawn, shape))


def _drawn(shape: Element, size: Size) -> Mask:
    match shape.name:
        case "box":
            left, top, right, bottom = (_number(shape, n) for n in ("xtl", "ytl", "xbr", "ybr"))
            middle = (left + right) / 2, (top + bottom) / 2
            angle = _angle(shape)
            return rectangle(left, top, right - left, bottom - top, size, angle=angle, about=middle)
        case "polygon":
            return polygon(_points(shape), size)
        case "polyline":
            return strip(_points(shape), size)
        case "points":
            return dots(_points(shape), size)
        case "ellipse":
            middle = _number(shape, "cx"), _number(shape, "cy")
            radii = _number(shape, "rx"), _number(shape, "ry")
            return ellipse(middle, radii, size, angle=_angle(shape))
        case "mask":
            left, top, width, height = (
                int(_number(shape, name)) for name in ("left", "top", "width", "height")
            )
            runs = [int(number_of(word, "rle")) for word in _said(shape, "rle").split(",")]
            return RunLengths.of(runs, size, window=(left, top, width, height))
    raise LabelFault(f"a {shape.name} can't become a mask")


def _points(shape: Element) -> Points:
    pairs = [pair.split(",") for pair in _said(shape, "points").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise LabelFault(f"points={_said(shape, 'points')[:60]!r} are no pairs of x and y")
    return [(number_of(x, "x"), number_of(y, "y")) for x, y in pairs]


def _angle(shape: Element) -> float:
    return number_of(shape.attributes.get("rotation", "0"), "rotation")


def _number(element: Element, name: str) -> float:
    return number_of(_said(element, name), name)


def _said(element: Element, name: str) -> str:
    if name not in element.attributes:
        raise LabelFault(f"it has no {name}")
    return element.attributes[name]
