"""LabelMe's JSON → entries."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud.datasets.readers.tools.labelme import LabelMeReader
from tests.cloud.datasets.readers.tools.labels import HEIGHT, WIDTH, Reading, pictures, written

Corners = list[list[float]]
TRIANGLE: Corners = [[10, 10], [30, 10], [30, 20]]


def shape(points: Corners, kind: str = "polygon", label: str = "scratch", **more: object) -> object:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def document(name: str, *shapes: object, **more: object) -> dict[str, object]:
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": name,
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        **more,
    }


def read(root: Path) -> Reading:
    return Reading(LabelMeReader(), root)


def of(root: Path, *shapes: object, **more: object) -> Reading:
    pictures(root, "0.png", "1.png")
    written(root / "0.json", document("0.png", *shapes, **more))
    return read(root)


def png(pixels: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()


@pytest.mark.parametrize(
    ("drawn", "pixels", "within"),
    [
        (shape(TRIANGLE), 100, 55),
        (shape([[30, 20], [10, 10]], "rectangle"), 200, 0),
        (shape([[10, 10], [30, 10], [30, 20], [10, 20]], "rectangle"), 200, 60),
        (shape([[30, 24], [40, 24]], "circle"), 314, 65),
        (shape([[1, 1], [21, 1], [21, 11]], "linestrip"), 31, 1),
        (shape([[1, 1], [21, 1]], "line"), 21, 1),
        (shape([[7, 7]], "point"), 1, 0),
        (shape([[7, 7], [9, 9], [20, 20]], "points"), 3, 0),
        (shape([[5, 6], [8, 8]], "mask", mask=png(np.eye(3, 4, dtype=np.uint8) * 255)), 3, 0),
    ],
)
def test_every_shape_becomes_a_mask(
    tmp_path: Path, drawn: object, pixels: int, within: int
) -> None:
    seen = of(tmp_path, drawn)
    assert seen.flaws == []
    assert seen.kinds == {"0.png": "scratch"}
    assert seen.marked("0.png") == pytest.approx(pixels, abs=within)
    assert seen.left_out == {"1.png": "a picture that no label names"}


def test_a_mask_lies_where_its_corner_says(tmp_path: Path) -> None:
    seen = of(tmp_path, shape([[5, 6], [8, 8]], "mask", mask=png(np.ones((3, 4), np.uint8))))
    mask = seen["0.png"].mask
    assert mask is not None
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[6:9, 5:9] = True
    assert np.array_equal(mask.pixels(HEIGHT, WIDTH), wanted)


def test_no_shapes_are_good_and_flags_speak_of_the_whole_picture(tmp_path: Path) -> None:
    pictures(tmp_path, "0.png", "1.png", "2.png")
    written(tmp_path / "0.json", document("0.png"))
    written(tmp_path / "1.json", document("1.png", flags={"dirty": True, "good": False}))
    written(tmp_path / "2.json", document("2.png", flags={"dirty": False, "good": True}))
    written(tmp_path / "labels.txt", "__ignore__\n_background_\nscratch\n")
    seen = read(tmp_path)
    assert seen.kinds == {"0.png": "good", "1.png": "dirty", "2.png": "good"}
    assert "1 picture without shapes: good" in seen.account.notes
    assert "kinds that no label uses: scratch" in seen.account.notes


def test_a_picture_that_is_called_good_and_has_a_defect_is_a_flaw(tmp_path: Path) -> None:
    seen = of(tmp_path, shape(TRIANGLE), flags={"good": True})
    assert seen.entries == []
    assert seen.flaws == ["0.json: it is called good, and scratch"]


def test_folders_say_the_split_and_paths_may_be_windows_own(tmp_path: Path) -> None:
    for split in ("train", "val"):
        pictures(tmp_path / split / "images", f"{split}.png")
        named = document(f"..\\images\\{split}.png", shape(TRIANGLE))
        written(tmp_path / split / "labels" / f"{split}.json", named)
    seen = read(tmp_path)
    assert {entry.image.name: entry.split for entry in seen.entries} == {
        "train.png": "train",
        "val.png": "calibrate",
    }


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (shape([[1, 1], [2, 2]]), "shape 1: a polygon of 2 corners has no inside"),
        (shape([[1, 1], [5, 5], [9, 9]]), "shape 1: a polygon without an area"),
        (shape([[1, 1], [99, 1], [9, 9]]), "(99, 1) lies outside of the picture"),
        (shape([[1, 1]], "circle"), "a circle of 1 points is not known"),
        (shape([[5, 5], [5, 5]], "circle"), "an ellipse with the radii 0 and 0 has no inside"),
        (shape([[1, 1], [5, 5]], "cube"), "a cube of 2 points is not known"),
        (shape([[1, 1], [5, 5]], "rectangle", ""), "shape 1: it has no kind"),
        (shape([["1", 1], [5, 5]], "rectangle"), "Expected `float`, got `str`"),  # type: ignore[list-item]
        ({"label": "scratch"}, "missing required field `points`"),
        (shape([[1, 1], [3, 3]], "mask", mask="%%%"), "shape 1: its mask is no picture"),
        (shape([[1, 1], [3, 3]], "mask", mask="aGVsbG8="), "shape 1: its mask is no picture"),
        (
            shape([[60, 1], [70, 3]], "mask", mask=png(np.ones((3, 11), np.uint8))),
            "a mask of 11 × 3 at (60, 1) does not lie in the picture",
        ),
        (
            shape([[1, 1], [3, 3]], "mask", mask=png(np.zeros((3, 3), np.uint8))),
            "its mask marks no pixel",
        ),
    ],
)
def test_a_wrong_shape_is_named_and_costs_its_picture(
    tmp_path: Path, drawn: object, said: str
) -> None:
    seen = of(tmp_path, shape(TRIANGLE), drawn)
    assert seen.entries == []
    assert said in seen.flaws[0]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    pictures(tmp_path, "0.png", "1.png", "2.png", "3.png", "4.png")
    written(tmp_path / "0.json", '{"version": "5.5.0",\n"shapes": [\n')
    written(tmp_path / "1.json", "")
    written(tmp_path / "2.json", document("2.png", imageHeight=9))
    written(tmp_path / "3.json", [])
    written(tmp_path / "4.json", document("4.png"))
    written(tmp_path / "9.json", document("9.png", imageData="aGVsbG8="))
    seen = read(tmp_path)
    assert seen.kinds == {"4.png": "good"}
    assert seen.flaws == [
        "0.json:3: it is no JSON (Expecting value)",
        "1.json:1: it is no JSON (Expecting value)",
        "2.json: the labels of 2.png were drawn on 64 × 9 pixels, it has 64 × 48",
        "3.json: it is not as its format says (Expected `object`, got `array`)",
        "9.json: the picture 9.png is not there, though it is inside of this file",
    ]
