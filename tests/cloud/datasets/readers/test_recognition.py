"""Each form is read by its own reader, from the folder to samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.datasets.builder import ReadOptions
from cloud.datasets.readers import survey
from shared.errors import DataError
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import mask, save_mask

FORMS: dict[str, tuple[list[str], list[str], dict[str, str]]] = {
    "MVTec AD": (
        ["train/good/0.png", "test/good/0.png", "test/bent/0.png"],
        ["ground_truth/bent/0_mask.png"],
        {},
    ),
    "MVTec AD 2": (
        ["can/train/good/0_regular.png", "can/test_public/bad/0_regular.png"],
        ["can/test_public/ground_truth/bad/0_regular_mask.png"],
        {},
    ),
    "MVTec LOCO": (
        ["train/good/0.png", "test/logical_anomalies/0.png"],
        ["ground_truth/logical_anomalies/0/000.png"],
        {},
    ),
    "MVTec 3D-AD": (
        ["train/good/rgb/0.png", "test/hole/rgb/0.png"],
        ["test/hole/gt/0.png"],
        {},
    ),
    "BTAD": (["01/train/ok/0.png", "01/test/ko/0.png"], ["01/ground_truth/ko/0.png"], {}),
    "VisA": (
        ["candle/Data/Images/Normal/0.JPG", "candle/Data/Images/Anomaly/0.JPG"],
        ["candle/Data/Masks/Anomaly/0.png"],
        {
            "candle/image_anno.csv": "image,label,mask\ncandle/Data/Images/Normal/0.JPG,normal,\n"
            "candle/Data/Images/Anomaly/0.JPG,melt,candle/Data/Masks/Anomaly/0.png\n"
        },
    ),
    "KolektorSDD": (
        ["kos01/Part0.jpg", "kos02/Part0.jpg"],
        ["kos01/Part0_label.bmp", "kos02/Part0_label.bmp"],
        {},
    ),
    "KolektorSDD2": (["train/1.png", "test/2.png"], ["train/1_GT.png", "test/2_GT.png"], {}),
    "DAGM 2007": (
        ["Class1/Train/1.PNG", "Class1/Train/2.PNG"],
        ["Class1/Train/Label/2_label.PNG"],
        {"Class1/Train/Label/Labels.txt": "1\n1 0 1.PNG 0 0\n2 1 2.PNG 1 2_label.PNG\n"},
    ),
    "Severstal": (
        ["train_images/1.jpg", "train_images/2.jpg"],
        [],
        {"train.csv": "ImageId,ClassId,EncodedPixels\n2.jpg,1,5 9\n"},
    ),
    "CSV": (["a/1.png", "a/2.png"], [], {"labels.csv": "file;label\n1.png;ok\n2.png;nok\n"}),
    "folders": (["train/good/1.png", "train/bad/2.png", "test/bad/3.png"], [], {}),
}


def made(root: Path, name: str) -> Path:
    pictures, masks, texts = FORMS[name]
    for number, path in enumerate(pictures):
        save(root / path, part(number, defective=number > 0))
    for path in masks:
        save_mask(root / path)
    for path, text in texts.items():
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_known_by_its_files_and_every_file_is_accounted_for(
    tmp_path: Path, name: str
) -> None:
    found = survey(str(made(tmp_path, name)), ReadOptions())
    pictures, masks, texts = FORMS[name]
    counts = found.account.counts()
    assert found.form == name
    assert len(found.dataset.samples) == counts["picture"] == len(pictures)
    assert counts.get("mask", 0) == len(masks)
    assert counts.get("labels", 0) == len(texts)
    assert counts["left out"] == 0


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (mask(spot=None), "has a bent, and its mask marks nothing"),
        (mask((64, 96)), "is a mask of 96 × 64, its picture has 64 × 64"),
    ],
)
def test_a_mask_that_cannot_be_right_is_refused(tmp_path: Path, drawn: object, said: str) -> None:
    root = made(tmp_path, "MVTec AD")
    save_mask(root / "ground_truth" / "bent" / "0_mask.png", drawn)  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        survey(str(root), ReadOptions())
    assert said in str(caught.value)
    assert "1 entries can't be used" in str(caught.value)
    left = survey(str(root), ReadOptions(skip_bad=True)).dataset
    assert len(left.samples) == 2


def test_a_good_part_with_a_marked_mask_is_refused(tmp_path: Path) -> None:
    root = made(tmp_path, "MVTec AD")
    save_mask(root / "ground_truth" / "good" / "0_mask.png")
    with pytest.raises(DataError, match="is good, and its mask marks 60 pixels"):
        survey(str(root), ReadOptions())


def test_a_mask_of_ones_marks_its_defect(tmp_path: Path) -> None:
    root = made(tmp_path, "MVTec AD")
    save_mask(root / "ground_truth" / "bent" / "0_mask.png", mask(value=1))
    found = survey(str(root), ReadOptions()).dataset
    marks = [s.mask.pixels(64, 64).sum() for s in found.samples if s.mask is not None]
    assert marks == [60]


def test_a_manifest_in_a_folder_of_kinds_is_read_and_not_the_folders(tmp_path: Path) -> None:
    root = made(tmp_path, "MVTec AD")
    (root / "manifest.csv").write_text(
        "image,defect,split\ntrain/good/0.png,good,train\ntest/bent/0.png,bent,test\n"
    )
    found = survey(str(root), ReadOptions())
    assert found.form == "CSV"
    assert {s.split for s in found.dataset.samples} >= {"test"}
