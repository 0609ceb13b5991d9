"""YOLO's texts → entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.datasets.file_tree import FileTree
from cloud.datasets.readers.tools.yolo import UNLABELLED, YoloReader
from tests.cloud.datasets.readers.tools.labels import Reading, pictures, written

SETTINGS = "path: {path}\ntrain: {train}\nval: {val}\nnames: {names}\n"


def settings(root: Path, **more: str) -> None:
    whole = {"path": ".", "train": "images/train", "val": "images/val"}
    whole |= {"names": "{0: scratch, 1: dent, 2: good}"} | more
    written(root / "data.yaml", SETTINGS.format(**whole))


def whole(root: Path) -> None:
    """0 has a box, 1 an empty text, 2 none; 9 a triangle, 8 a turned box."""
    pictures(root / "images" / "train", "0.png", "1.png", "2.png")
    pictures(root / "images" / "val", "8.png", "9.png")
    written(root / "labels" / "train" / "0.txt", "0 0.5 0.5 0.25 0.25\n\n")
    written(root / "labels" / "train" / "1.txt", "")
    written(root / "labels" / "val" / "9.txt", "1 0.1 0.1 0.5 0.1 0.5 0.5\n")
    written(root / "labels" / "val" / "8.txt", "0 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5\n")


def read(root: Path) -> Reading:
    return Reading(YoloReader(), root)


def of(root: Path, line: str) -> Reading:
    """A set of 0.png with this line, and 1.png with a box."""
    settings(root, val="images/train")
    written(root / "data.yaml", "train: images/train\nnames: [scratch, dent]\n")
    pictures(root / "images" / "train", "0.png", "1.png")
    written(root / "labels" / "train" / "0.txt", f"0 0.5 0.5 0.25 0.25\n{line}\n")
    written(root / "labels" / "train" / "1.txt", "0 0.5 0.5 0.25 0.25\n")
    return read(root)


def test_boxes_polygons_and_turned_boxes_become_masks(tmp_path: Path) -> None:
    whole(tmp_path)
    settings(tmp_path)
    seen = read(tmp_path)
    assert seen.flaws == []
    assert seen.kinds == {
        "0.png": "scratch",
        "1.png": "good",
        "2.png": "good",
        "8.png": "scratch",
        "9.png": "dent",
    }
    assert seen.marked("0.png") == 16 * 12
    assert seen.marked("9.png") == pytest.approx(25.6 * 19.2 / 2, abs=76)
    assert seen.marked("8.png") == pytest.approx(32 * 24 / 2, abs=60)
    assert seen["0.png"].split == "train"
    assert seen["9.png"].split == "calibrate"
    assert "2 pictures without labels: good" in seen.account.notes
    assert "kinds that no label uses: good" in seen.account.notes


@pytest.mark.parametrize(
    "more",
    [
        {"train": "[images/train]"},
        {"train": "train.txt"},
        {"train": "../images/train", "val": "../images/val"},
        {"path": "/data/of/another/machine"},
        {"names": "[scratch, dent, good]"},
        {"train": "'images\\train'"},
        {"train": "images/train/"},
        {"train": "/home/somebody/set/images/train", "val": "D:\\set\\images\\val"},
    ],
)
def test_every_form_of_the_settings_is_read(tmp_path: Path, more: dict[str, str]) -> None:
    whole(tmp_path)
    written(tmp_path / "train.txt", "./images/train/0.png\nimages/train/1.png\nC:\\x\\2.png\n")
    settings(tmp_path, **more)
    seen = read(tmp_path)
    assert seen.flaws == []
    assert len(seen.entries) == 5


def test_folders_with_images_and_labels_inside_are_read(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        pictures(tmp_path / split / "images", f"{split}.png")
        written(tmp_path / split / "labels" / f"{split}.txt", "0 0.5 0.5 0.25 0.25")
    settings(tmp_path, train="../train/images", val="../valid/images")
    assert read(tmp_path).kinds == {"train.png": "scratch", "valid.png": "scratch"}


def test_a_folder_called_images_above_the_set_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "images" / "screws"
    pictures(root, "0.png")
    written(root / "0.txt", "0 0.5 0.5 0.25 0.25")
    written(root / "classes.txt", "scratch\n")
    assert read(root).kinds == {"0.png": "scratch"}


def test_darknets_lists_of_names_are_read(tmp_path: Path) -> None:
    pictures(tmp_path / "obj_train_data", "0.png", "1.png")
    written(tmp_path / "obj_train_data" / "0.txt", "1 0.5 0.5 0.25 0.25")
    written(tmp_path / "obj_train_data" / "1.txt", "")
    written(tmp_path / "obj.names", "scratch\ndent\n")
    written(tmp_path / "train.txt", "data/obj_train_data/0.png\ndata/obj_train_data/1.png\n")
    written(
        tmp_path / "obj.data",
        "classes = 2\ntrain = data/train.txt\nvalid = data/test.txt\nnames = data/obj.names\n",
    )
    seen = read(tmp_path)
    assert seen.flaws == []
    assert seen.kinds == {"0.png": "dent", "1.png": "good"}
    assert seen["0.png"].split == "train"


def test_a_split_without_any_labels_was_not_labelled(tmp_path: Path) -> None:
    whole(tmp_path)
    for text in (tmp_path / "labels" / "val").iterdir():
        text.unlink()
    settings(tmp_path)
    seen = read(tmp_path)
    assert set(seen.kinds) == {"0.png", "1.png", "2.png"}
    assert seen.left_out["9.png"] == UNLABELLED
    assert "no picture of calibrate has a file of labels: left out" in seen.account.notes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("7 0.5 0.5 0.2 0.2", "the kind 7 is none of the 2 that have names"),
        ("0.5 0.5 0.5 0.2 0.2", "the kind 0.5 is none"),
        ("-1 0.5 0.5 0.2 0.2", "the kind -1 is none"),
        ("scratch 0.5 0.5 0.2 0.2", "'scratch 0.5 0.5 0.2 0.2' are no numbers"),
        ("0 0.5 0.5 0.2", "3 numbers after the kind"),
        ("0 0.5 0.5 0.2 0.2 0.9", "5 numbers after the kind"),
        ("0 0.5 nan 0.2 0.2", "a coordinate is no finite number"),
        ("nan 0.5 0.5 0.2 0.2", "the kind nan is none"),
        ("inf 0.5 0.5 0.2 0.2", "the kind inf is none"),
        ("0 0.9 0.9 0.5 0.5", "lies outside of the picture, which has 64 × 48"),
        ("0 320 240 50 50", "lies outside of the picture"),
        ("0 0.5 0.5 0 0.2", "a box of 0 × 9.6 has no inside"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "a polygon without an area"),
        ("0 0.1 0.1 0.2 0.2 0.1 0.1", "a polygon of 2 corners"),
        ("0", "0 numbers after the kind"),
    ],
)
def test_a_wrong_line_is_named_and_costs_its_picture(tmp_path: Path, line: str, said: str) -> None:
    seen = of(tmp_path, line)
    assert seen.kinds == {"1.png": "scratch"}
    (flaw,) = seen.flaws
    assert flaw.startswith("labels/train/0.txt:2: ")
    assert said in flaw


def test_labels_of_a_missing_picture_are_a_flaw(tmp_path: Path) -> None:
    whole(tmp_path)
    settings(tmp_path)
    written(tmp_path / "labels" / "train" / "ghost.txt", "0 0.5 0.5 0.25 0.25")
    assert read(tmp_path).flaws == ["labels/train/ghost.txt: labels of a picture that is not there"]


def test_a_picture_in_two_splits_is_a_flaw(tmp_path: Path) -> None:
    whole(tmp_path)
    settings(tmp_path, val="images")
    assert "data.yaml: 0.png lies in two splits, train and calibrate" in read(tmp_path).flaws


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [a\ntrain: x\n", "data.yaml:2: it is no YAML"),
        ("names: a\ntrain: images\n", "`names` is neither a list nor names by number"),
        ("names: [a]\nnc: 3\ntrain: images\n", "`nc` is 3, `names` has 1"),
        ("names: [a]\ntrain: nowhere\n", "train: nowhere is neither a folder"),
        ("names: [a]\ntrain: 7\n", "train: it is neither a path nor a list of them"),
        ("names: [a]\ntrain: lost.txt\n", "train: lost.txt is neither a folder"),
        ("train: &a [*a]\nnames: [a]\n", "or holds itself"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, said: str) -> None:
    pictures(tmp_path / "images", "0.png")
    written(tmp_path / "data.yaml", text)
    seen = read(tmp_path)
    assert seen.entries == []
    assert said in seen.flaws[0]


def test_a_text_that_is_no_utf8_costs_its_picture(tmp_path: Path) -> None:
    whole(tmp_path)
    settings(tmp_path)
    (tmp_path / "labels" / "train" / "0.txt").write_bytes(b"0 0.5 0.5 0.2 0.2\n\xff\xfe")
    seen = read(tmp_path)
    assert seen.flaws == ["labels/train/0.txt:2: it is not UTF-8 text"]
    assert "0.png" not in seen.kinds


def test_a_list_names_its_line_where_a_picture_is_missing(tmp_path: Path) -> None:
    whole(tmp_path)
    written(tmp_path / "train.txt", "images/train/0.png\nimages/train/lost.png\n")
    settings(tmp_path, train="train.txt")
    assert "train.txt:2: the picture images/train/lost.png is not there" in read(tmp_path).flaws


def test_other_yaml_and_texts_are_not_taken_for_yolo(tmp_path: Path) -> None:
    pictures(tmp_path / "good", "0.png")
    written(tmp_path / "classes.txt", "good\n")
    written(tmp_path / "settings.yaml", "names: [a]\n")
    assert not YoloReader().recognises(FileTree.of(tmp_path))
