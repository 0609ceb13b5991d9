"""VisA, as published."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.datasets.readers.industrial.visa import VisaReader
from shared.errors import DataError
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import marked, mask, read_with, save_mask

NORMAL = "candle/Data/Images/Normal"
ANOMALY, MASKS = "candle/Data/Images/Anomaly", "candle/Data/Masks/Anomaly"
KINDS = (
    f"image,label,mask\n{NORMAL}/0000.JPG,normal,\n{NORMAL}/0001.JPG,normal,\n"
    f'{ANOMALY}/000.JPG,"chunk of wax missing,weird wick",{MASKS}/000.png\n'
)


@pytest.fixture
def visa(tmp_path: Path) -> Path:
    save(tmp_path / NORMAL / "0000.JPG", part(1))
    save(tmp_path / NORMAL / "0001.JPG", part(2))
    save(tmp_path / ANOMALY / "000.JPG", part(3))
    save_mask(tmp_path / MASKS / "000.png", mask(value=2))
    (tmp_path / "candle" / "image_anno.csv").write_text(KINDS)
    return tmp_path


def division(root: Path, name: str, train: str) -> None:
    (root / "split_csv").mkdir(exist_ok=True)
    (root / "split_csv" / name).write_text(
        f"object,split,label,image,mask\ncandle,train,normal,{NORMAL}/0000.JPG,\n"
        f"candle,test,normal,{NORMAL}/0001.JPG,\n"
        f"candle,{train},anomaly,{ANOMALY}/000.JPG,{MASKS}/000.png\n"
    )


def test_masks_of_small_numbers_and_the_first_kind_count(visa: Path) -> None:
    found = read_with(VisaReader(), visa)
    assert found.kinds[f"{ANOMALY}/000.JPG"] == "chunk of wax missing"
    assert marked(found.of(f"{ANOMALY}/000.JPG")) == 60
    assert {entry.domain for entry in found.entries} == {"candle"}
    assert "several kinds of defects counts as the first" in found.notes
    assert found.account.counts() == {"labels": 1, "picture": 3, "mask": 1, "left out": 0}


def test_a_division_without_defects_in_train_is_made_anew(visa: Path) -> None:
    division(visa, "1cls.csv", "test")
    found = read_with(VisaReader(), visa)
    assert found.kinds[f"{ANOMALY}/000.JPG"] == "chunk of wax missing"
    assert set(found.splits.values()) == {None}
    assert "divided anew" in found.notes


def test_a_division_with_defects_in_train_is_kept(visa: Path) -> None:
    division(visa, "1cls.csv", "test")
    division(visa, "2cls_highshot.csv", "train")
    found = read_with(VisaReader(), visa)
    assert found.splits == {
        f"{NORMAL}/0000.JPG": "train",
        f"{NORMAL}/0001.JPG": "test",
        f"{ANOMALY}/000.JPG": "train",
    }
    assert found.left_out == {"split_csv/1cls.csv": "no part of this format"}


def test_what_a_table_names_and_is_not_there_is_a_flaw_with_its_line(visa: Path) -> None:
    (visa / MASKS / "000.png").unlink()
    assert read_with(VisaReader(), visa).flaws == [
        f"candle/image_anno.csv:4: {MASKS}/000.png is not there"
    ]


def test_a_table_with_other_columns_is_told(visa: Path) -> None:
    (visa / "candle" / "image_anno.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"has the columns a, b, want"):
        read_with(VisaReader(), visa)


def test_one_product_alone_is_read_too(visa: Path) -> None:
    found = read_with(VisaReader(), visa / "candle")
    assert sorted(found.kinds.values()) == ["chunk of wax missing", "good", "good"]
    assert found.flaws == []
