"""Pascal VOC's XML → entries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloud.datasets.file_tree import FileTree
from cloud.datasets.readers.tools.voc import VocReader
from tests.cloud.datasets.makers import save
from tests.cloud.datasets.readers.tools.labels import HEIGHT, WIDTH, Reading, pictures, written

BOX = "<bndbox><xmin>11</xmin><ymin>6</ymin><xmax>20</xmax><ymax>10</ymax></bndbox>"


def shape(kind: str = "scratch", inside: str = BOX) -> str:
    return f"<object>\n<name>{kind}</name><difficult>0</difficult>{inside}</object>\n"


def document(name: str, *objects: str, width: int = WIDTH) -> str:
    size = f"<size><width>{width}</width><height>{HEIGHT}</height><depth>1</depth></size>"
    named = f"<filename>{name}</filename>" if name else ""
    return f"<annotation>\n{named}{size}\n{''.join(objects)}</annotation>\n"


def labelled(root: Path, name: str, *objects: str) -> None:
    pictures(root / "JPEGImages", f"{name}.png")
    written(root / "Annotations" / f"{name}.xml", document(f"{name}.png", *objects))


def read(root: Path) -> Reading:
    return Reading(VocReader(), root)


def test_boxes_count_from_one_and_polygons_and_turned_boxes_become_masks(tmp_path: Path) -> None:
    corners = "<x1>10</x1><y1>10</y1><x2>30</x2><y2>10</y2><x3>30</x3><y3>20</y3>"
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((1, 1), (9, 1), (9, 9)))
    turned = "<robndbox><cx>30</cx><cy>24</cy><w>20</w><h>10</h><angle>1.5708</angle></robndbox>"
    labelled(tmp_path, "0", shape())
    labelled(tmp_path, "1", shape("dent", f"<polygon>{corners}</polygon>{BOX}"))
    labelled(tmp_path, "2", shape("dent", f"<polygon>{points}</polygon>"))
    labelled(tmp_path, "3", shape("dent", turned))
    labelled(tmp_path, "4")
    labelled(tmp_path, "5", shape("OK"))
    pictures(tmp_path / "JPEGImages", "6.png")
    seen = read(tmp_path)
    assert seen.flaws == []
    assert seen.kinds == {
        "0.png": "scratch",
        "1.png": "dent",
        "2.png": "dent",
        "3.png": "dent",
        "4.png": "good",
        "5.png": "good",
    }
    mask = seen["0.png"].mask
    assert mask is not None
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[5:10, 10:20] = True
    assert np.array_equal(mask.pixels(HEIGHT, WIDTH), wanted)
    assert seen.marked("1.png") == pytest.approx(100, abs=55)
    assert seen.marked("2.png") == pytest.approx(32, abs=30)
    assert seen.marked("3.png") == pytest.approx(200, abs=60)
    assert seen.left_out == {"6.png": "a picture that no label names"}
    assert "1 picture whose XML has no object: good" in seen.account.notes


def test_lists_of_splits_are_kept_and_masks_say_where(tmp_path: Path) -> None:
    for name, split in (("0", "train"), ("1", "val"), ("2", "test")):
        labelled(tmp_path, name, shape())
        written(tmp_path / "ImageSets" / "Main" / f"{split}.txt", f"{name}\n")
    written(tmp_path / "ImageSets" / "Main" / "scratch_train.txt", "0  1\n")
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[3:5, 3:5] = 1
    save(tmp_path / "SegmentationObject" / "1.png", pixels)
    seen = read(tmp_path)
    assert seen.flaws == []
    assert [entry.split for entry in seen.entries] == ["train", "calibrate", "test"]
    assert (seen.marked("0.png"), seen.marked("1.png")) == (50, 4)


def test_pictures_that_were_renamed_are_found_by_the_names_of_their_xml(tmp_path: Path) -> None:
    pictures(tmp_path, "0.png", "1.png")
    written(tmp_path / "0.xml", document("IMG_2031.JPG", shape()))
    written(tmp_path / "1.xml", document("", shape()))
    seen = read(tmp_path)
    assert seen.kinds == {"0.png": "scratch", "1.png": "scratch"}
    assert "XML files name pictures that are not there" in seen.account.notes[0]


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (BOX.replace("20", "90"), "(90, 10) lies outside"),
        (BOX.replace("20", "2"), "its box ends before it begins (11 to 2)"),
        (BOX.replace("20", "nan"), "xmax is 'nan'"),
        (BOX.replace("20", ""), "xmax is ''"),
        ("<polygon><x1>1</x1><y1>1</y1></polygon>", "a polygon of 1 corners"),
    ],
)
def test_a_wrong_object_is_named_by_its_line(tmp_path: Path, inside: str, said: str) -> None:
    labelled(tmp_path, "0", shape(), shape("scratch", inside))
    labelled(tmp_path, "1", shape())
    seen = read(tmp_path)
    assert seen.kinds == {"1.png": "scratch"}
    (flaw,) = seen.flaws
    assert flaw.startswith("Annotations/0.xml:5: object 1: ")
    assert said in flaw


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation>\n<object>\n", "0.xml:3: it is no XML"),
        ("<annotation>\n<a></b>", "0.xml:2: it is no XML (mismatched tag)"),
        (
            '<!DOCTYPE a [<!ENTITY b "c">]>\n<annotation>&b;</annotation>',
            "it defines entities, which are not taken",
        ),
        ("<annotation>" + "<a>" * 100, "it is nested deeper than 64 levels"),
        ("", "0.xml: it has no element `annotation`"),
        (document("gone.png", shape()).replace("gone", "lost"), ""),
        (document("0.png", shape(), width=99), "were drawn on 99 × 48 pixels, it has 64 × 48"),
        (document("0.png", shape("")), "object 0: it has no kind"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    labelled(tmp_path, "1", shape())
    pictures(tmp_path / "JPEGImages", "0.png")
    written(tmp_path / "Annotations" / "0.xml", text)
    seen = read(tmp_path)
    assert said in "\n".join(seen.flaws)
    assert ("0.png" in seen.kinds) == (said == "")


def test_a_missing_picture_and_a_listed_name_without_labels_are_flaws(tmp_path: Path) -> None:
    labelled(tmp_path, "1", shape())
    written(tmp_path / "Annotations" / "9.xml", document("9.png", shape()))
    written(tmp_path / "ImageSets" / "Main" / "train.txt", "1\n7\n")
    written(tmp_path / "ImageSets" / "Main" / "test.txt", "1\n")
    seen = read(tmp_path)
    assert seen.flaws == [
        "ImageSets/Main/train.txt:1: 1 lies in two splits, test and train",
        "Annotations/9.xml:1: the picture 9.png is not there",
        "ImageSets/Main/train.txt: 7 has no file of labels",
    ]


def test_cvats_xml_is_not_taken_for_voc(tmp_path: Path) -> None:
    written(tmp_path / "annotations.xml", "<annotations></annotations>")
    assert not VocReader().recognises(FileTree.of(tmp_path))
