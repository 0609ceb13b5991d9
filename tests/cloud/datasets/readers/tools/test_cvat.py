"""CVAT's XML → entries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloud.datasets.file_tree import FileTree
from cloud.datasets.readers.tools.cvat import CvatReader
from tests.cloud.datasets.readers.tools.labels import HEIGHT, WIDTH, Reading, pictures, written

COMMON = 'label="scratch" source="manual" occluded="0" z_order="0"'
BOX = f'<box {COMMON} xtl="10.0" ytl="5.0" xbr="20.0" ybr="10.0"></box>'


def image(number: int, *shapes: str, name: str = "", subset: str = "", width: int = WIDTH) -> str:
    name = name or f"{number}.png"
    more = f' subset="{subset}"' if subset else ""
    head = f'<image id="{number}" name="{name}"{more} width="{width}" height="{HEIGHT}">'
    return "\n".join([head, *shapes, "</image>"])


def document(*images: str) -> str:
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("scratch", "dent"))
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
    return "\n".join([f"{head}{meta}", *images, "</annotations>"])


def read(root: Path) -> Reading:
    return Reading(CvatReader(), root)


def of(root: Path, *shapes: str) -> Reading:
    pictures(root / "images", "0.png")
    written(root / "annotations.xml", document(image(0, *shapes)))
    return read(root)


@pytest.mark.parametrize(
    ("drawn", "pixels", "within"),
    [
        (BOX, 50, 0),
        (BOX.replace("></box>", ' rotation="90.0"></box>'), 50, 20),
        (f'<polygon {COMMON} points="10.0,10.0;30.0,10.0;30.0,20.0"></polygon>', 100, 55),
        (f'<polyline {COMMON} points="1.0,1.0;21.0,1.0"></polyline>', 21, 1),
        (f'<points {COMMON} points="1.0,1.0;21.0,1.0"></points>', 2, 0),
        (f'<ellipse {COMMON} cx="30" cy="20" rx="10" ry="5"></ellipse>', 157, 50),
        (f'<mask {COMMON} rle="2, 3, 1, 2" left="9" top="8" width="4" height="2"></mask>', 5, 0),
        (f"<tag {COMMON}></tag>", 0, 0),
    ],
)
def test_every_shape_becomes_a_mask(tmp_path: Path, drawn: str, pixels: int, within: int) -> None:
    seen = of(tmp_path, drawn)
    assert seen.flaws == []
    assert seen.kinds == {"0.png": "scratch"}
    assert seen.marked("0.png") == pytest.approx(pixels, abs=within)
    assert "kinds that no label uses: dent" in seen.account.notes


def test_runs_go_along_the_rows_of_their_own_box(tmp_path: Path) -> None:
    drawn = f'<mask {COMMON} rle="2, 3, 1, 2" left="9" top="8" width="4" height="2"></mask>'
    mask = of(tmp_path, drawn)["0.png"].mask
    assert mask is not None
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[8:10, 9:13] = [[False, False, True, True], [True, False, True, True]]
    assert np.array_equal(mask.pixels(HEIGHT, WIDTH), wanted)


def test_a_turned_box_turns_about_its_middle(tmp_path: Path) -> None:
    mask = of(tmp_path, BOX.replace("></box>", ' rotation="90.0"></box>'))["0.png"].mask
    assert mask is not None
    rows, columns = np.nonzero(mask.pixels(HEIGHT, WIDTH))
    assert (rows.mean(), columns.mean()) == (pytest.approx(7, abs=1), pytest.approx(14.5, abs=1))
    assert np.ptp(rows) > np.ptp(columns)


def test_subsets_are_splits_and_pictures_without_shapes_are_good(tmp_path: Path) -> None:
    subsets = ("Train", "Validation", "Test", "default")
    for number, subset in enumerate(subsets):
        pictures(tmp_path / "images" / subset, f"{number}.png")
    images = [
        image(number, name=f"{subset}/{number}.png", subset=subset)
        for number, subset in enumerate(subsets)
    ]
    written(tmp_path / "annotations.xml", document(*images))
    seen = read(tmp_path)
    assert seen.flaws == []
    assert [entry.split for entry in seen.entries] == ["train", "calibrate", "test", None]
    assert "4 pictures without shapes and tags: good" in seen.account.notes


def test_everything_that_is_wrong_is_said_at_once_by_line(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "0.png", "1.png", "2.png", "3.png")
    images = [
        image(0, BOX, BOX.replace("20.0", "99.0")),
        image(1, width=9),
        image(2, BOX.replace("xtl", "left")),
        image(3, BOX),
        image(4, name="gone.png"),
        '<image id="5" name="3.png" width="64"></image>',
    ]
    written(tmp_path / "annotations.xml", document(*images))
    seen = read(tmp_path)
    assert seen.kinds == {"3.png": "scratch"}
    assert [flaw.removeprefix("annotations.xml:") for flaw in seen.flaws] == [
        "5: box on 0.png: (99, 10) lies outside of the picture, which has 64 × 48",
        "7: image 1: the labels of 1.png were drawn on 9 × 48 pixels, it has 64 × 48",
        "10: box on 2.png: it has no xtl",
        "15: image 4: the picture gone.png is not there",
        "17: image 5: it has no height",
    ]


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (f'<polygon {COMMON} points="1,1;2"></polygon>', "are no pairs of x and y"),
        (f'<polygon {COMMON} points="1,1;2,a;3,3"></polygon>', "y is 'a'"),
        (f'<polygon {COMMON} points=""></polygon>', "are no pairs of x and y"),
        (f'<mask {COMMON} rle="2, 3" left="9" top="8" width="4" height="2"></mask>', "cover 5"),
        (f'<mask {COMMON} rle="x" left="9" top="8" width="4" height="2"></mask>', "rle is 'x'"),
        (f'<cuboid {COMMON} xtl1="1"></cuboid>', "a cuboid can't become a mask"),
        (BOX.replace("scratch", ""), "it has no kind"),
    ],
)
def test_a_wrong_shape_costs_its_picture(tmp_path: Path, drawn: str, said: str) -> None:
    seen = of(tmp_path, drawn)
    assert seen.entries == []
    assert said in seen.flaws[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (document(image(0, BOX))[:-40], "annotations.xml:4: it is no XML"),
        (
            "<annotations>\n<track id='0'></track></annotations>",
            "annotations.xml:2: it is CVAT for",
        ),
        (
            '<!DOCTYPE a [<!ENTITY b "c">\n]>\n<annotations>&b;</annotations>',
            "it defines entities, which are not taken",
        ),
        ("<annotations>" + "<a>" * 100_000, "it is nested deeper than 64 levels"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    pictures(tmp_path / "images", "0.png")
    written(tmp_path / "annotations.xml", text)
    assert said in read(tmp_path).flaws[0]


def test_vocs_xml_is_not_taken_for_cvat(tmp_path: Path) -> None:
    written(tmp_path / "0.xml", "<annotation></annotation>")
    assert not CvatReader().recognises(FileTree.of(tmp_path))
