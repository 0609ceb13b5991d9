"""Label Studio's JSON → entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud.datasets.readers.tools.label_studio import LabelStudioReader
from tests.cloud.datasets.readers.tools.labels import HEIGHT, WIDTH, Reading, pictures, written

# What label-studio-sdk 2.1.2 makes of rows 10 to 19, columns 5 to 11, and row 12, columns 30 to 39.
BRUSH = [
    *(0, 0, 48, 0, 57, 27, 255, 10, 19, 0, 195, 127, 251, 140, 3, 13, 255, 238, 48, 12, 55, 255),
    *(145, 192, 49, 63, 254, 115, 0, 195, 127, 251, 140, 3, 13, 255, 238, 48, 12, 55, 255, 184),
    *(192, 48, 223, 254, 227, 0, 195, 127, 251, 140, 3, 13, 255, 238, 48, 12, 55, 255, 199, 51),
    *(192, 0),
]


def result(kind: str, label: str = "scratch", **value: object) -> dict[str, Any]:
    return {
        "id": "a",
        "type": kind,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, kind: [label]},
    }


def task(address: str, *results: object, **more: object) -> dict[str, object]:
    return {
        "id": 1,
        "data": {"image": address},
        "annotations": [{"id": 1, "was_cancelled": False, "result": list(results)}],
        "predictions": [],
        **more,
    }


BOX = result("rectanglelabels", x=25, y=25, width=50, height=25, rotation=0)


def read(root: Path) -> Reading:
    return Reading(LabelStudioReader(), root)


def of(root: Path, *tasks: object) -> Reading:
    pictures(root / "images", "0.png", "1.png")
    written(root / "project-1.json", list(tasks))
    return read(root)


@pytest.mark.parametrize(
    ("drawn", "pixels", "within"),
    [
        (BOX, 32 * 12, 0),
        (result("rectanglelabels", x=50, y=25, width=25, height=25, rotation=90), 16 * 12, 30),
        (result("polygonlabels", points=[[10, 10], [50, 10], [50, 50]]), 246, 76),
        (result("ellipselabels", x=50, y=50, radiusX=25, radiusY=25, rotation=0), 603, 90),
        (result("brushlabels", format="rle", rle=BRUSH), 80, 0),
        (result("keypointlabels", x=50, y=50, width=1), 1, 0),
        (result("choices"), 0, 0),
    ],
)
def test_every_result_becomes_a_mask(
    tmp_path: Path, drawn: object, pixels: int, within: int
) -> None:
    seen = of(tmp_path, task("/data/upload/1/0.png", drawn))
    assert seen.flaws == []
    assert seen.kinds == {"0.png": "scratch"}
    assert seen.marked("0.png") == pytest.approx(pixels, abs=within)


def test_a_brushs_pixels_are_where_they_were_drawn(tmp_path: Path) -> None:
    mask = of(tmp_path, task("0.png", result("brushlabels", rle=BRUSH)))["0.png"].mask
    assert mask is not None
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[10:20, 5:12] = wanted[12, 30:40] = True
    assert np.array_equal(mask.pixels(HEIGHT, WIDTH), wanted)


def test_a_turned_box_turns_about_its_corner(tmp_path: Path) -> None:
    turned = result("rectanglelabels", x=50, y=25, width=25, height=25, rotation=90)
    mask = of(tmp_path, task("0.png", turned))["0.png"].mask
    assert mask is not None
    rows, columns = np.nonzero(mask.pixels(HEIGHT, WIDTH))
    assert (rows.min(), rows.max()) == (pytest.approx(12, abs=1), pytest.approx(27, abs=1))
    assert (columns.min(), columns.max()) == (pytest.approx(20, abs=1), pytest.approx(31, abs=1))


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/3/1f3c9a2b-lot_7.png",
        "/data/local-files/?d=parts/lot_7.png",
        "/data/local-files/?d=parts%2Flot_7.png",
        "s3://bucket/parts/lot_7.png",
        "https://host.example/parts/lot_7.png?token=a%2Fb",
        "C:\\parts\\lot_7.png",
        "lot_7.png",
    ],
)
def test_every_form_of_an_address_finds_its_picture(tmp_path: Path, address: str) -> None:
    pictures(tmp_path / "images", "lot_7.png")
    seen = of(tmp_path, task(address, BOX))
    assert (seen.flaws, seen.kinds) == ([], {"lot_7.png": "scratch"})


def test_a_picture_that_kept_its_hash_is_found_by_it(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "1f3c9a2b-lot.png", "lot.png")
    seen = of(tmp_path, task("/data/upload/3/1f3c9a2b-lot.png", BOX))
    assert seen.kinds == {"1f3c9a2b-lot.png": "scratch"}


def test_unfinished_tasks_are_left_out_and_empty_results_are_good(tmp_path: Path) -> None:
    cancelled = {"was_cancelled": True, "result": [BOX]}
    tasks = [task("0.png"), task("1.png", annotations=[cancelled])]
    seen = of(tmp_path, *tasks)
    assert seen.kinds == {"0.png": "good"}
    assert seen.left_out == {"1.png": "a task that nobody finished"}
    assert "1 picture whose result is empty: good" in seen.account.notes


def test_of_several_results_the_truth_counts_then_the_latest(tmp_path: Path) -> None:
    old = {"result": [], "updated_at": "2026-01-01T00:00:00Z"}
    new = {"result": [BOX], "updated_at": "2026-01-02T00:00:00Z"}
    truth = {**old, "ground_truth": True}
    tasks = [task("0.png", annotations=[new, old]), task("1.png", annotations=[new, truth])]
    seen = of(tmp_path, *tasks)
    assert seen.kinds == {"0.png": "scratch", "1.png": "good"}
    assert "tasks with several results" in seen.account.notes[0]


def test_columns_of_a_task_say_part_domain_and_split(tmp_path: Path) -> None:
    data = {"image": "0.png", "part": "p7", "lot": "12", "split": "val"}
    entry = of(tmp_path, task("", BOX, data=data))["0.png"]
    assert (entry.part, entry.domain, entry.split) == ("p7", "12", "calibrate")


def test_a_shape_and_its_name_can_be_two_results(tmp_path: Path) -> None:
    drawn = {**BOX, "type": "rectangle", "value": {**BOX["value"], "rectanglelabels": []}}
    named = {"id": "a", "type": "labels", "value": {"labels": ["dent"]}}
    other = {"id": "b", "type": "textarea", "value": {"text": ["near the edge"]}}
    seen = of(tmp_path, task("0.png", drawn, named, other))
    assert (seen.flaws, seen.kinds) == ([], {"0.png": "dent"})
    assert seen.marked("0.png") == 32 * 12
    assert "results of the type textarea say nothing of defects" in seen.account.notes


def test_a_picture_that_is_called_good_and_has_a_defect_is_a_flaw(tmp_path: Path) -> None:
    seen = of(tmp_path, task("0.png", {**result("choices", "OK"), "id": "b"}, BOX))
    assert seen.entries == []
    assert seen.flaws == ["project-1.json: task 0: it is called good, and scratch"]


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (result("rectanglelabels", x=90, y=25, width=50, height=25), "lies outside of the picture"),
        (result("rectanglelabels", x=90, y=25), "a rectanglelabels without its numbers"),
        (result("rectanglelabels", x="a", y=25), "Expected `float | null`, got `str`"),
        ({**BOX, "original_width": 9}, "it was drawn on 9 × 48 pixels, the picture has 64 × 48"),
        ({**BOX, "image_rotation": 90}, "the picture was turned by 90 degrees"),
        (result("brushlabels", rle=BRUSH[:20]), "its mask is cut off"),
        (
            result("brushlabels", rle=[0, 0, 0, 1, 2, 3]),
            "its mask has 0 pixels, the picture 64 × 48",
        ),
        (result("brushlabels", rle=[255] * 30), "its mask has 1073741823 pixels"),
        (result("brushlabels", rle=[999]), "its mask has numbers that are no bytes"),
        (result("rectanglelabels", "", x=1, y=1, width=9, height=9), "it has no kind"),
        (result("videorectangle"), "results of the type videorectangle are not known"),
        ({"value": {}}, "missing required field `type`"),
    ],
)
def test_a_wrong_result_is_named_and_costs_its_picture(
    tmp_path: Path, drawn: object, said: str
) -> None:
    seen = of(tmp_path, task("0.png", drawn), task("1.png", BOX))
    assert seen.kinds == {"1.png": "scratch"}
    (flaw,) = seen.flaws
    assert flaw.startswith("project-1.json: task 0")
    assert said in flaw


def test_missing_pictures_and_damage_are_named(tmp_path: Path) -> None:
    written(tmp_path / "cut.json", '[\n{"data": {"image": "0.png"}, "annotations": [\n')
    seen = of(tmp_path, task("gone.png", BOX), {"data": 3, "annotations": []}, task(""))
    assert seen.entries == []
    assert seen.flaws == [
        "cut.json:3: it is no JSON (Expecting value)",
        "project-1.json: task 0: the picture gone.png is not there",
        "project-1.json: task 1: Expected `object`, got `int` - at `$.data`",
        "project-1.json: task 2: it names no picture",
    ]
