"""What stands in a file of COCO."""

from __future__ import annotations

import msgspec

from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import Mask, MaskShapes
from cloud.datasets.outlines import Size, paired, polygon, rectangle
from cloud.datasets.run_lengths import RunLengths, coco_counts

CocoKey = int | str


class CocoCategory(msgspec.Struct):
    """One kind."""

    id: CocoKey
    name: str


class CocoPicture(msgspec.Struct):
    """One picture."""

    id: CocoKey
    file_name: str
    width: float | None = None
    height: float | None = None


class _Runs(msgspec.Struct):
    counts: list[int] | str
    size: tuple[int, int]


class CocoAnnotation(msgspec.Struct):
    """One mark: the finest of its forms counts. Pixels; a box is left, top, width, height."""

    image_id: CocoKey
    category_id: CocoKey
    id: CocoKey | None = None
    bbox: list[float] | None = None
    segmentation: list[list[float]] | _Runs | None = None


class CocoDocument(msgspec.Struct):
    """A whole file; its entries are looked at one by one. `annotations` None: pictures alone."""

    images: list[msgspec.Raw]
    categories: list[msgspec.Raw] = []
    annotations: list[msgspec.Raw] | None = None


class CocoReference(msgspec.Struct):
    """The picture of an annotation that is otherwise wrong."""

    image_id: CocoKey


def drawn(annotation: CocoAnnotation, size: Size) -> Mask | None:
    """The finest that an annotation has; None where it is a kind alone."""
    match annotation.segmentation:
        case _Runs(counts, (height, width)):
            runs = coco_counts(counts) if isinstance(counts, str) else counts
            if (height, width) != size:
                raise LabelFault(
                    f"its mask was drawn on {width} × {height}, its picture has {size[1]} × "
                    f"{size[0]}"
                )
            return RunLengths.of(runs, size, by_column=True)
        case [*outlines] if outlines:
            shapes = [polygon(paired(outline), size).polygons for outline in outlines]
            return MaskShapes(tuple(corners for shape in shapes for corners in shape), size)
        case _ if annotation.bbox:
            if len(annotation.bbox) != 4:
                raise LabelFault(f"a box has four numbers, this one {len(annotation.bbox)}")
            left, top, across, down = annotation.bbox
            return rectangle(left, top, across, down, size)
    return None
