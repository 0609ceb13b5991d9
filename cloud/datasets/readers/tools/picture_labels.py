"""What labels say of one picture, and where they say it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from cloud.datasets.dataset import Split
from cloud.datasets.masks import Mask, MaskShapes
from cloud.datasets.outlines import Size, area
from cloud.datasets.run_lengths import RunLengths


@dataclass(frozen=True, slots=True)
class LabelPlace:
    """Where something is said: a file, its line (0: of none), and the entry's own name."""

    file: Path
    line: int = 0
    entry: str = ""


@dataclass(slots=True)
class PictureLabels:
    """size   (height, width)
    kinds  of defect, with the pixels that each marks; 0 for what is said of the whole picture
    """

    path: Path
    size: Size
    place: LabelPlace
    split: Split | None = None
    part: str = ""
    domain: str = "all"
    kinds: Counter[str] = field(default_factory=Counter)
    masks: list[Mask] = field(default_factory=list)
    labelled: bool = False
    called_good: bool = False
    spoilt: bool = False

    def other_size(self, drawn_on: Size) -> str:
        """What to say of labels that were drawn on a picture of another size."""
        height, width = self.size
        said = (
            f"the labels of {self.path.name} were drawn on {drawn_on[1]} × {drawn_on[0]} pixels, "
            f"it has {width} × {height}"
        )
        if drawn_on == (width, height):
            return f"{said} once turned by its EXIF orientation"
        return said


def nowhere(_: Size) -> None:
    """What is said of the whole picture marks no place in it."""


def marked_area(mask: Mask | None) -> int:
    """Pixels, about; 0 where a file has to be read for it, or nothing has a place."""
    if isinstance(mask, RunLengths):
        return mask.area
    if isinstance(mask, MaskShapes):
        return max(1, round(sum(area(polygon) for polygon in mask.polygons)))
    return 0
