"""What stands in a task of Label Studio."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from cloud.datasets.file_tree import SUFFIXES
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import Mask
from cloud.datasets.outlines import Size, dots, ellipse, polygon, rectangle
from cloud.datasets.readers.tools.picture_names import PictureNames
from cloud.datasets.run_lengths import RunLengths, brush_counts

_DRAWN = frozenset({"rectangle", "polygon", "ellipse", "brush", "keypoint"})


class StudioValue(msgspec.Struct):
    """Shares of the picture in percent."""

    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    rotation: float = 0.0
    radiusX: float | None = None  # noqa: N815 - Label Studio's own names
    radiusY: float | None = None  # noqa: N815
    points: list[tuple[float, float]] | None = None
    rle: list[int] | None = None
    labels: list[str] = []
    choices: list[str] = []
    rectanglelabels: list[str] = []
    polygonlabels: list[str] = []
    ellipselabels: list[str] = []
    brushlabels: list[str] = []
    keypointlabels: list[str] = []

    @property
    def kinds(self) -> list[str]:
        drawn = [*self.rectanglelabels, *self.polygonlabels, *self.ellipselabels]
        return [*drawn, *self.brushlabels, *self.keypointlabels, *self.labels, *self.choices]


class StudioResult(msgspec.Struct):
    """A shape, its name, or what is said of the whole picture."""

    type: str
    value: StudioValue = msgspec.field(default_factory=StudioValue)
    id: str = ""
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float = 0

    @property
    def drawn(self) -> bool:
        return self.type.removesuffix("labels") in _DRAWN

    def mask(self, size: Size) -> Mask:
        """Of a shape. Raises LabelFault where it can't be true of a picture of (height, width)."""
        height, width = size
        said = self.original_height or height, self.original_width or width
        if said != size:
            raise LabelFault(
                f"it was drawn on {said[1]} × {said[0]} pixels, the picture has {width} × {height}"
            )
        if self.image_rotation % 360:
            raise LabelFault(
                f"the picture was turned by {self.image_rotation:g} degrees; turn it back"
            )
        value, (across, down) = self.value, (width / 100, height / 100)
        match self.type.removesuffix("labels"), value:
            case "rectangle", StudioValue(x=float(x), y=float(y), width=float(w), height=float(h)):
                corner = x * across, y * down
                return rectangle(*corner, w * across, h * down, size, angle=value.rotation)
            case "ellipse", StudioValue(x=float(x), y=float(y), radiusX=float(a), radiusY=float(b)):
                radii = a * across, b * down
                return ellipse((x * across, y * down), radii, size, angle=value.rotation)
            case "polygon", StudioValue(points=[*points]):
                return polygon([(x * across, y * down) for x, y in points], size)
            case "keypoint", StudioValue(x=float(x), y=float(y)):
                return dots([(x * across, y * down)], size)
            case "brush", StudioValue(rle=[*packed]):
                return RunLengths.of(brush_counts(packed, size), size)
        raise LabelFault(f"a {self.type} without its numbers")


class StudioAnnotation(msgspec.Struct):
    """What one person said of a picture."""

    result: list[msgspec.Raw] = []
    was_cancelled: bool = False
    ground_truth: bool = False
    updated_at: str = ""


class StudioTask(msgspec.Struct):
    """One picture. `completions` is what old versions call annotations."""

    data: dict[str, object]
    id: int | str = ""
    annotations: list[StudioAnnotation] = []
    completions: list[StudioAnnotation] = []
    file_upload: str | None = None

    def picture(self, names_of: PictureNames) -> Path:
        """By its address, and by what Label Studio called it when it was uploaded."""
        texts = [text for text in map(self.text, self.data) if text]
        known = [self.text(key) for key in ("image", "img", "image_url")]
        known += [text for text in texts if Path(_named(text)).suffix.lower() in SUFFIXES]
        address = next(filter(None, known), "")
        names = [_named(address), *filter(None, [self.file_upload])]
        # `1f3c9a2b-part.png`: eight digits and a hyphen before the name of the file.
        names += [name[9:] for name in (Path(one).name for one in names) if name[8:9] == "-"]
        faults = []
        for name in dict.fromkeys(names):
            try:
                return names_of.find(name)
            except LabelFault as fault:
                faults.append(fault)
        raise faults[0]

    def text(self, key: str) -> str:
        """What a column of the task's data says; empty where it is no text."""
        value = self.data.get(key, "")
        return value.strip() if isinstance(value, str) else ""


def _named(address: str) -> str:
    """A path out of `/data/local-files/?d=a/b.png`, `s3://bucket/a/b.png`, `https://host/b.png?c`."""
    if "?d=" in address:
        return parse_qs(urlsplit(address).query).get("d", [""])[0]
    if "://" in address:
        return unquote(urlsplit(address).path)
    return unquote(address.partition("?")[0])
