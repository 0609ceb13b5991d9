"""What each annotation tool exports is recognised by itself, and is ready to be trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cloud.datasets.builder import ReadOptions
from cloud.datasets.entry import DatasetReader
from cloud.datasets.readers import survey
from cloud.datasets.readers.tools.coco import CocoReader
from cloud.datasets.readers.tools.cvat import CvatReader
from cloud.datasets.readers.tools.label_studio import LabelStudioReader
from cloud.datasets.readers.tools.labelme import LabelMeReader
from cloud.datasets.readers.tools.voc import VocReader
from tests.cloud.datasets.readers.tools.labels import HEIGHT, WIDTH, Reading, pictures, written

NAMES = tuple(f"{number}.png" for number in range(10))
# The first half is good.
BAD = NAMES[5:]


def coco(root: Path) -> None:
    images = [
        {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for number, name in enumerate(NAMES)
    ]
    marks = [
        {"id": number, "image_id": number, "category_id": 1, "bbox": [8, 8, 16, 12]}
        for number in range(5, 10)
    ]
    kinds = [{"id": 1, "name": "scratch"}]
    written(root / "x.json", {"images": images, "annotations": marks, "categories": kinds})


def yolo(root: Path) -> None:
    written(root / "data.yaml", "train: images\nnames: [scratch]\n")
    for name in BAD:
        written(root / "labels" / f"{name[0]}.txt", "0 0.25 0.291666666 0.25 0.25\n")


def voc(root: Path) -> None:
    box = "<xmin>9</xmin><ymin>9</ymin><xmax>24</xmax><ymax>20</ymax>"
    mark = f"<object><name>scratch</name><bndbox>{box}</bndbox></object>"
    for name in NAMES:
        inside = mark if name in BAD else ""
        text = f"<annotation><filename>{name}</filename>{inside}</annotation>"
        written(root / "Annotations" / f"{name[0]}.xml", text)


def labelme(root: Path) -> None:
    mark = {"label": "scratch", "points": [[8, 8], [24, 20]], "shape_type": "rectangle"}
    for name in NAMES:
        shapes = [mark] if name in BAD else []
        written(root / "images" / f"{name[0]}.json", {"shapes": shapes, "imagePath": name})


def cvat(root: Path) -> None:
    box = '<box label="scratch" xtl="8" ytl="8" xbr="24" ybr="20"></box>'
    images = [
        f'<image name="{name}" width="{WIDTH}" height="{HEIGHT}">{box * (name in BAD)}</image>'
        for name in NAMES
    ]
    written(root / "annotations.xml", f"<annotations>{''.join(images)}</annotations>")


def label_studio(root: Path) -> None:
    value = {"x": 12.5, "y": 16.6666667, "width": 25, "height": 25, "rectanglelabels": ["scratch"]}
    mark = {"type": "rectanglelabels", "value": value}
    written(
        root / "export.json",
        [
            {
                "data": {"image": f"/data/upload/1/0123abcd-{name}"},
                "annotations": [{"result": [mark] if name in BAD else []}],
            }
            for name in NAMES
        ],
    )


@pytest.mark.parametrize(
    ("form", "export"),
    [
        ("COCO", coco),
        ("YOLO", yolo),
        ("Pascal VOC", voc),
        ("LabelMe", labelme),
        ("CVAT", cvat),
        ("Label Studio", label_studio),
    ],
)
def test_an_export_is_recognised_and_becomes_the_same_data_set(
    tmp_path: Path, form: str, export: Callable[[Path], None]
) -> None:
    pictures(tmp_path / "images", *NAMES)
    export(tmp_path)
    read = survey(str(tmp_path), ReadOptions())
    assert read.form == form
    found = {sample.image.name: sample for sample in read.dataset.samples}
    assert {name: sample.defect for name, sample in found.items()} == {
        name: "scratch" if name in BAD else "good" for name in NAMES
    }
    for name in BAD:
        mask = found[name].mask
        assert mask is not None
        pixels = mask.pixels(HEIGHT, WIDTH)
        assert pixels.sum() == 16 * 12
        assert pixels[8:20, 8:24].all()
    # They are told apart with certainty: no other reader but that of folders knows the files.
    assert not [note for note in read.account.notes if note.startswith("read as")]


@pytest.mark.parametrize(
    ("reader", "export"),
    [
        (CocoReader(), coco),
        (VocReader(), voc),
        (LabelMeReader(), labelme),
        (CvatReader(), cvat),
        (LabelStudioReader(), label_studio),
    ],
)
def test_a_file_that_is_cut_anywhere_is_told_and_makes_no_defect_good(
    tmp_path: Path, reader: DatasetReader, export: Callable[[Path], None]
) -> None:
    pictures(tmp_path / "images", *NAMES)
    export(tmp_path)
    last = max(path for path in tmp_path.rglob("*") if path.suffix in {".json", ".xml"})
    whole = last.read_bytes()
    for end in range(len(whole) // 4, len(whole), max(1, len(whole) // 40)):
        last.write_bytes(whole[:end])
        read = Reading(reader, tmp_path)
        assert read.flaws
        assert "good" not in [kind for name, kind in read.kinds.items() if name in BAD]
