"""Severstal's steel, in both forms of its table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.datasets.readers.industrial.severstal import UNLABELLED, SeverstalReader
from cloud.datasets.run_mask import RunMask
from shared.errors import DataError
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import marked, read_with, recognised

# Rows 2 and 3 of column 1 (64 high), then a single pixel.
SMALL, LARGE = "2 2", "65 10 200 10"


@pytest.fixture
def steel(tmp_path: Path) -> Path:
    for number in range(3):
        save(tmp_path / "train_images" / f"{number}.jpg", part(number))
    save(tmp_path / "test_images" / "9.jpg", part(9))
    return tmp_path


def table(root: Path, text: str) -> Path:
    (root / "train.csv").write_text(text)
    return root


@pytest.mark.parametrize(
    "text",
    [
        "ImageId_ClassId,EncodedPixels\n"
        + "".join(f"{n}.jpg_{c},\n" for n in (0, 2) for c in (1, 2, 3, 4))
        + f"1.jpg_1,{SMALL}\n1.jpg_2,\n1.jpg_3,{LARGE}\n1.jpg_4,\n",
        f"ImageId,ClassId,EncodedPixels\n1.jpg,1,{SMALL}\n1.jpg,3,{LARGE}\n",
    ],
)
def test_both_tables_mean_the_same(steel: Path, text: str) -> None:
    found = read_with(SeverstalReader(), table(steel, text))
    assert found.kinds == {
        "train_images/0.jpg": "good",
        "train_images/1.jpg": "class 3",
        "train_images/2.jpg": "good",
    }
    assert marked(found.of("train_images/1.jpg")) == 22
    assert found.of("train_images/0.jpg").mask is None
    assert found.left_out == {"test_images/9.jpg": UNLABELLED}
    assert "1 pictures have several classes" in found.notes
    assert found.flaws == []


def test_runs_go_down_the_columns_and_begin_at_one() -> None:
    marks = RunMask.of("2 2 5 1").pixels(4, 3)
    assert np.argwhere(marks).tolist() == [[0, 1], [1, 0], [2, 0]]


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_runs_of_any_mask_give_that_mask(height: int, width: int, data: st.DataObject) -> None:
    cells = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    wanted = np.array(cells).reshape(height, width)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted.T.ravel(), [0]])))
    pairs = zip(edges[::2], edges[1::2], strict=True)
    text = " ".join(f"{a + 1} {b - a}" for a, b in pairs)
    mask = RunMask.of(text)
    assert (mask.pixels(height, width) == wanted).all()
    assert mask.area == wanted.sum()


def test_runs_that_leave_the_picture_are_told() -> None:
    with pytest.raises(DataError, match="end at pixel 17, the picture has 4 × 4"):
        RunMask.of("16 2").pixels(4, 4)


def test_rows_that_cannot_be_are_flaws_with_their_lines(steel: Path) -> None:
    text = (
        "ImageId,ClassId,EncodedPixels\n1.jpg,1,2\n7.jpg,1,2 2\n0.jpg,2,x 3\n0.jpg,3,0 4\n"
        "2.jpg,1,2 2\n2.jpg,1,9 2\n"
    )
    assert read_with(SeverstalReader(), table(steel, text)).flaws == [
        "train.csv:2: EncodedPixels: has 1 numbers, want pairs of start and length",
        "train.csv:3: 7.jpg is not in train_images",
        "train.csv:4: EncodedPixels: invalid literal for int() with base 10: 'x'",
        "train.csv:5: EncodedPixels: has a start or a length below 1",
        "train.csv:7: 2.jpg has class 1 twice",
    ]


def test_another_train_csv_is_not_severstals(steel: Path) -> None:
    assert not recognised(SeverstalReader(), table(steel, "image,label\n1.jpg,good\n"))
    assert not recognised(SeverstalReader(), table(steel, ""))
