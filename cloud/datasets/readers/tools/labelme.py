"""LabelMe: a JSON beside each picture."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import cv2
import msgspec

from cloud.datasets.account import Account
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import Mask
from cloud.datasets.outlines import Size, dots, ellipse, polygon, rectangle, strip
from cloud.datasets.readers.tools.documents import converted, files_of, json_of, keys_of, lines_of
from cloud.datasets.readers.tools.labelled_pictures import LabelledPictures
from cloud.datasets.readers.tools.picture_labels import LabelPlace, PictureLabels, nowhere
from cloud.datasets.readers.tools.picture_names import split_in
from cloud.datasets.run_lengths import RunLengths
from shared.features.picture_file import decoded
from shared.opener import Unopenable

_SNIFFED = 50
# Words of LabelMe's own list of labels, for what is no label.
_NO_KIND = frozenset({"__ignore__", "_background_"})


class _Shape(msgspec.Struct):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = None
    mask: str | None = None


class _LabelMe(msgspec.Struct):
    shapes: list[msgspec.Raw]
    imagePath: str  # noqa: N815 - LabelMe's own name
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815
    imageData: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815
    flags: dict[str, bool] | None = None


class LabelMeReader:
    """Polygons, boxes, circles, masks, lines and points, and flags of the whole picture.

    A JSON without shapes and flags says that its picture is good; a picture without a JSON was not
    labelled. A copy of the picture inside the JSON is never used.
    """

    name = "LabelMe"

    def recognises(self, tree: FileTree) -> bool:
        return any(_is_labelme(path) for path in files_of(tree, ".json")[:_SNIFFED])

    def entries(self, tree: FileTree, account: Account) -> Iterable[PictureEntry]:
        pictures = LabelledPictures(tree, account)
        beside = {path.with_suffix("") for path in tree.pictures}
        for path in tree.files:
            if path.name.lower() == "labels.txt":
                account.use(path, "labels")
                pictures.declare(_declared(account, path))
        for path in files_of(tree, ".json"):
            if not _is_labelme(path) and path.with_suffix("") not in beside:
                continue
            account.use(path, "labels")
            try:
                _read(tree, pictures, path)
            except LabelFault as fault:
                account.flaw(path, str(fault), fault.line)
        return pictures.entries("without shapes")


def _read(tree: FileTree, pictures: LabelledPictures, path: Path) -> None:
    said = json_of(path, _LabelMe)
    try:
        found = pictures.names.find(said.imagePath, path.parent)
    except LabelFault as fault:
        own = pictures.names.beside(path)
        if own is None:
            inside = ", though it is inside of this file" if len(said.imageData) > 4 else ""
            raise LabelFault(f"{fault}{inside}") from fault
        pictures.note("JSON files name pictures that are not there: taken by their own names")
        found = own
    size = None
    if said.imageHeight is not None and said.imageWidth is not None:
        size = said.imageHeight, said.imageWidth
    place = LabelPlace(path)
    picture = pictures.picture(place, found, drawn_on=size, split=split_in(tree, path))
    if picture is None:
        return
    for flag, is_set in (said.flags or {}).items():
        if is_set:
            pictures.mark(picture, LabelPlace(path, entry=f"flag {flag}"), flag, nowhere)
    for index, raw in enumerate(said.shapes):
        _mark(pictures, picture, LabelPlace(path, entry=f"shape {index}"), raw)


def _mark(
    pictures: LabelledPictures, picture: PictureLabels, place: LabelPlace, raw: msgspec.Raw
) -> None:
    try:
        shape = converted(raw, _Shape)
    except LabelFault as fault:
        pictures.spoil(picture, place, str(fault))
        return
    if shape.label not in _NO_KIND:
        pictures.mark(picture, place, shape.label, partial(_drawn, shape))


def _drawn(shape: _Shape, size: Size) -> Mask:
    points = shape.points
    match shape.shape_type or "polygon", points:
        case ("polygon", _) | ("rectangle" | "oriented_rectangle", [_, _, _, _]):
            return polygon(points, size)
        case "rectangle", [(x, y), (other_x, other_y)]:
            left, right = sorted((x, other_x))
            top, bottom = sorted((y, other_y))
            return rectangle(left, top, right - left, bottom - top, size)
        case "circle", [middle, edge]:
            radius = math.dist(middle, edge)
            return ellipse(middle, (radius, radius), size)
        case (("line" | "linestrip"), [_, _, *_]):
            return strip(points, size)
        case (("point" | "points"), [_, *_]):
            return dots(points, size)
        case "mask", [(left, top), _] if shape.mask:
            return _mask(shape.mask, round(left), round(top), size)
    raise LabelFault(f"a {shape.shape_type} of {len(points)} points is not known")


def _mask(packed: str, left: int, top: int, size: Size) -> Mask:
    """A PNG in base64, of what lies between the mask's two points."""
    try:
        pixels = decoded(base64.b64decode(packed, validate=True), cv2.IMREAD_GRAYSCALE)
    except (binascii.Error, Unopenable) as error:
        raise LabelFault(f"its mask is no picture ({error})") from error
    return RunLengths.drawn(pixels > 0, size, left=left, top=top)


def _declared(account: Account, path: Path) -> list[str]:
    try:
        names = [line.strip() for line in lines_of(path)]
    except LabelFault as fault:
        account.flaw(path, str(fault), fault.line)
        return []
    return [name for name in names if name and name not in _NO_KIND]


def _is_labelme(path: Path) -> bool:
    return {"shapes", "imagePath"} <= keys_of(path)
