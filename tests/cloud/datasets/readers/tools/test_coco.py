"""COCO's JSON → entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as reference

from cloud.datasets.file_tree import FileTree
from cloud.datasets.readers.tools.coco import CocoReader
from tests.cloud.datasets.readers.tools.labels import HEIGHT, WIDTH, Reading, pictures, written


def image(number: int, name: str | None = None, **more: object) -> dict[str, object]:
    name = name or f"{number}.png"
    return {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, **more}


def annotation(picture: int, kind: int = 1, **more: object) -> dict[str, object]:
    return {"id": 100 + picture, "image_id": picture, "category_id": kind, "iscrowd": 0, **more}


def document(images: list[Any], annotations: list[Any], *kinds: str) -> dict[str, object]:
    categories = [
        {"id": number, "name": kind} for number, kind in enumerate(kinds or ("scratch",), 1)
    ]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def read(root: Path) -> Reading:
    return Reading(CocoReader(), root)


def of(root: Path, *annotations: dict[str, object], kinds: tuple[str, ...] = ()) -> Reading:
    """A set of the picture 0.png with these annotations."""
    pictures(root / "images", "0.png")
    written(root / "labels.json", document([image(0)], list(annotations), *kinds))
    return read(root)


MARKED = np.zeros((HEIGHT, WIDTH), np.uint8)
MARKED[10:20, 5:12] = 1
MARKED[12, 30:40] = 1


def uncompressed() -> list[int]:
    flat = MARKED.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return [int(count) for count in np.diff([0, *edges, flat.size])]


def test_polygons_boxes_and_both_forms_of_runs_become_masks(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "0.png", "1.png", "2.png", "3.png", "4.png")
    compressed = reference.encode(np.asfortranarray(MARKED))["counts"].decode()
    runs = {"size": [HEIGHT, WIDTH], "counts": uncompressed()}
    packed = {"size": [HEIGHT, WIDTH], "counts": compressed}
    marks = [
        annotation(0, segmentation=[[10, 10, 30, 10, 30, 20, 10, 20]], bbox=[10, 10, 20, 10]),
        annotation(1, segmentation=[], bbox=[4, 6, 10, 5]),
        annotation(2, segmentation=runs, iscrowd=1),
        annotation(3, segmentation=packed),
    ]
    labels = document([image(number) for number in range(5)], marks)
    written(tmp_path / "annotations" / "instances.json", labels)
    seen = read(tmp_path)
    assert seen.flaws == []
    assert seen.kinds == {
        "0.png": "scratch",
        "1.png": "scratch",
        "2.png": "scratch",
        "3.png": "scratch",
        "4.png": "good",
    }
    assert seen.marked("0.png") == pytest.approx(20 * 10, abs=2 * 30)
    assert seen.marked("1.png") == 50
    for name in ("2.png", "3.png"):
        mask = seen[name].mask
        assert mask is not None
        assert np.array_equal(mask.pixels(HEIGHT, WIDTH), MARKED > 0)
    assert seen.account.notes == ["1 picture without annotations: good"]


def test_a_file_a_split_keeps_the_owners_division(tmp_path: Path) -> None:
    for number, split in enumerate(("train2017", "val2017", "test2017")):
        pictures(tmp_path / split, f"{number}.png")
        written(
            tmp_path / "annotations" / f"instances_{split}.json",
            document([image(number)], [annotation(number, bbox=[1, 1, 9, 9])]),
        )
    seen = read(tmp_path)
    assert [entry.split for entry in seen.entries] == ["test", "train", "calibrate"]
    assert "the set's own validation pictures are used to calibrate" in seen.account.notes


def test_folders_of_roboflow_keep_pictures_of_one_name_apart(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        pictures(tmp_path / split, "0.png")
        written(tmp_path / split / "_annotations.coco.json", document([image(0)], []))
    seen = read(tmp_path)
    assert [entry.split for entry in seen.entries] == ["test", "train", "calibrate"]
    assert len({entry.image for entry in seen.entries}) == 3


@pytest.mark.parametrize(
    "name", ["lot 7\\0.png", "C:\\data\\lot 7\\0.png", "./lot 7/0.PNG", "0.png"]
)
def test_names_with_folders_of_another_machine_are_found(tmp_path: Path, name: str) -> None:
    pictures(tmp_path / "images" / "lot 7", "0.png")
    written(tmp_path / "labels.json", document([image(0, name)], []))
    seen = read(tmp_path)
    assert (seen.flaws, len(seen.entries)) == ([], 1)


def test_a_name_that_could_be_two_pictures_is_a_flaw(tmp_path: Path) -> None:
    pictures(tmp_path / "a", "0.png")
    pictures(tmp_path / "b", "0.png")
    written(tmp_path / "labels.json", document([image(0)], []))
    seen = read(tmp_path)
    assert seen.entries == []
    assert "labels.json: image 0: 0.png could be 2 pictures" in seen.flaws[0]


def test_a_kind_called_good_marks_nothing_and_unused_kinds_are_said(tmp_path: Path) -> None:
    seen = of(tmp_path, annotation(0, 2, bbox=[1, 1, 9, 9]), kinds=("dent", "OK", "scratch"))
    assert (seen.kinds, seen["0.png"].mask) == ({"0.png": "good"}, None)
    assert "kinds that no label uses: dent, scratch" in seen.account.notes
    assert "labels of the kind OK mark no defect" in seen.account.notes


def test_several_kinds_count_as_the_one_that_marks_the_most(tmp_path: Path) -> None:
    marks = [annotation(0, 1, bbox=[1, 1, 3, 3]), annotation(0, 2, bbox=[20, 20, 20, 20])]
    seen = of(tmp_path, *marks, kinds=("dent", "scratch"))
    assert seen.kinds == {"0.png": "scratch"}
    assert seen.marked("0.png") == 9 + 400
    assert "1 picture with several kinds of defect" in seen.account.notes[0]


def test_a_kind_without_a_place_is_known_without_a_mask(tmp_path: Path) -> None:
    seen = of(tmp_path, annotation(0))
    assert (seen["0.png"].defect, seen["0.png"].mask) == ("scratch", None)


def test_pictures_without_any_annotations_key_are_not_taken_for_good(tmp_path: Path) -> None:
    pictures(tmp_path, "0.png")
    labels = document([image(0)], [])
    del labels["annotations"]
    written(tmp_path / "image_info_test.json", labels)
    seen = read(tmp_path)
    assert seen.entries == []
    assert seen.account.notes == [
        "image_info_test.json has no annotations: its pictures are left out"
    ]


def test_a_picture_that_no_file_names_is_left_out(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "1.png")
    seen = of(tmp_path)
    assert seen.kinds == {"0.png": "good"}
    assert seen.left_out == {"1.png": "a picture that no label names"}


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (annotation(0, 9, bbox=[1, 1, 9, 9]), "no category has the id 9"),
        (annotation(0, bbox=[50, 30, 50, 50]), "(100, 80) lies outside of the picture"),
        (annotation(0, bbox=[1, 1, 0, 9]), "a box of 0 × 9 has no inside"),
        (annotation(0, bbox=[1, 1, 9]), "a box has four numbers, this one 3"),
        (annotation(0, bbox=[1, float("nan"), 9, 9]), "got `null`"),
        (annotation(0, bbox=["1", 1, 9, 9]), "Expected `float`, got `str`"),
        (annotation(0, segmentation=[[1, 1, 5, 5]]), "a polygon of 2 corners has no inside"),
        (annotation(0, segmentation=[[1, 1, 5, 5, 9, 9]]), "a polygon without an area"),
        (annotation(0, segmentation=[[1, 1, 5, 5, 9]]), "5 numbers are no pairs"),
        (
            annotation(0, segmentation={"size": [9, 9], "counts": [0, 81]}),
            "its mask was drawn on 9 × 9",
        ),
        (
            annotation(0, segmentation={"size": [HEIGHT, WIDTH], "counts": [5, 9]}),
            "cover 14 pixels",
        ),
        (
            annotation(0, segmentation={"size": [HEIGHT, WIDTH], "counts": "zzzz"}),
            "which is no string of COCO's",
        ),
        (
            annotation(0, segmentation={"size": [HEIGHT, WIDTH], "counts": "o"}),
            "its mask is cut off",
        ),
        (
            annotation(0, segmentation={"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}),
            "its mask marks no pixel",
        ),
    ],
)
def test_a_wrong_annotation_is_named_and_never_makes_its_picture_good(
    tmp_path: Path, mark: dict[str, object], said: str
) -> None:
    pictures(tmp_path, "1.png")
    marks = [annotation(1, bbox=[1, 1, 9, 9]), mark]
    written(tmp_path / "labels.json", document([image(0), image(1)], marks))
    pictures(tmp_path, "0.png")
    seen = read(tmp_path)
    assert seen.kinds == {"1.png": "scratch"}
    (flaw,) = seen.flaws
    assert flaw.startswith("labels.json: annotation 1: ")
    assert said in flaw
    assert seen.left_out == {"0.png": "its labels can't be used"}


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    pictures(tmp_path, "0.png", "1.png", "2.png", "3.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    images = [image(0), image(1, width=10), image(2), image(2, "1.png"), image(4, "gone.png")]
    marks = [annotation(77, bbox=[1, 1, 2, 2]), {"category_id": 1}]
    labels = document([*images, image(3), {"id": 9}], marks)
    written(tmp_path / "labels.json", labels)
    seen = read(tmp_path)
    said = "\n".join(seen.flaws)
    assert "image 1: the labels of 1.png were drawn on 10 × 48 pixels, it has 64 × 48" in said
    assert "image 3: the id 2 is that of two pictures" in said
    assert "image 4: the picture gone.png is not there" in said
    assert "image 6: Object missing required field `file_name`" in said
    assert "annotation 0: no picture has the id 77" in said
    assert "annotation 1: Object missing required field `image_id`" in said
    assert "3.png: it is not a picture that can be read" in said
    # The last annotation may be that of any picture.
    assert seen.entries == []


def test_a_picture_in_two_splits_is_a_flaw(tmp_path: Path) -> None:
    pictures(tmp_path, "0.png")
    for split in ("train", "val"):
        written(tmp_path / f"{split}.json", document([image(0)], []))
    seen = read(tmp_path)
    assert seen.entries == []
    assert seen.flaws == ["val.json: image 0: 0.png lies in two splits, train and calibrate"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [\n{"id": 1, "file_name": "0.png"},\n{"id"', "labels.json:3: it is no JSON"),
        ('{"images": {"file_name": 1}}', "Expected `array`, got `object` - at `$.images`"),
        ('{"file_name": 1, "annotations": []}', "missing required field `images`"),
        (
            '{"file_name": 1, "images": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "labels.json: it is nested too deeply",
        ),
        (
            '{"images": [{"id": 0, "file_name": "0.png", "x": '
            + "[" * 100_000
            + "]" * 100_000
            + '}], "annotations": []}',
            "it is nested too deeply",
        ),
        ('[{"images": 1, "file_name": 2}]', "Expected `object`, got `array`"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    pictures(tmp_path, "0.png")
    written(tmp_path / "labels.json", text)
    seen = read(tmp_path)
    assert seen.entries == []
    assert said in seen.flaws[0]


def test_other_encodings_are_read_and_broken_ones_named(tmp_path: Path) -> None:
    pictures(tmp_path, "0.png")
    path = written(tmp_path / "labels.json", "")
    text = json.dumps(document([image(0)], []))
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_text(text, encoding=encoding)
        if encoding == "utf-8-sig":
            assert read(tmp_path).kinds == {"0.png": "good"}
    path.write_bytes(text.replace("scratch", "Lücke").encode("latin-1"))
    assert "it is not UTF-8 text" in read(tmp_path).flaws[0]


def test_labels_of_other_tools_are_not_taken_for_coco(tmp_path: Path) -> None:
    written(tmp_path / "0.json", {"shapes": [], "imagePath": "0.png"})
    written(tmp_path / "tasks.json", [{"data": {"image": "0.png"}, "annotations": []}])
    assert not CocoReader().recognises(FileTree.of(tmp_path))
