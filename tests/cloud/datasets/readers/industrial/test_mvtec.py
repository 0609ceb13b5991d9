"""MVTec's sets and their like, each as its publisher lays it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.datasets.entry import DatasetReader
from cloud.datasets.readers.industrial.mvtec import MVTEC_FORMS, POINTS, PRIVATE
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import marked, mask, read_with, recognised, save_mask


def form(root: Path) -> DatasetReader:
    return next(form for form in MVTEC_FORMS if recognised(form, root))


def pictures(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        save(root / name, part(number))


@pytest.mark.parametrize("product", ["", "cable"])
def test_mvtec_ad_has_masks_and_is_divided_anew(tmp_path: Path, product: str) -> None:
    root = tmp_path / product
    pictures(root, "train/good/000.png", "test/good/000.png", "test/bent/000.png")
    save_mask(root / "ground_truth" / "bent" / "000_mask.png")
    found = read_with(form(tmp_path), tmp_path)
    assert form(tmp_path).name == "MVTec AD"
    assert sorted(found.kinds.values()) == ["bent", "good", "good"]
    assert marked(next(e for e in found.entries if e.defect == "bent")) == 60
    assert {e.domain for e in found.entries} == {product or "all"}
    assert "divided anew" in found.notes
    assert {e.split for e in found.entries} == {None}


def test_loco_lays_several_masks_of_a_picture_over_each_other(tmp_path: Path) -> None:
    pictures(
        tmp_path,
        "train/good/000.png",
        "validation/good/000.png",
        "test/good/000.png",
        "test/logical_anomalies/000.png",
        "test/structural_anomalies/000.png",
    )
    truth = tmp_path / "ground_truth"
    save_mask(truth / "logical_anomalies" / "000" / "000.png", mask(value=255))
    save_mask(truth / "logical_anomalies" / "000" / "001.png", mask(spot=(0, 0, 5, 2), value=254))
    save_mask(truth / "structural_anomalies" / "000" / "000.png", mask(spot=(1, 1, 3, 3)))
    (tmp_path / "defects_config.json").write_text("[]")
    found = read_with(form(tmp_path), tmp_path)
    assert form(tmp_path).name == "MVTec LOCO"
    assert marked(found.of("test/logical_anomalies/000.png")) == 60 + 10
    assert marked(found.of("test/structural_anomalies/000.png")) == 9
    assert len(found.entries) == 5
    assert found.left_out == {"defects_config.json": "no part of this format"}


def test_of_3d_ad_the_colour_pictures_are_used(tmp_path: Path) -> None:
    for place in ("train/good", "validation/good", "test/good", "test/hole"):
        pictures(tmp_path, f"{place}/rgb/000.png", f"{place}/xyz/000.tiff")
    save_mask(tmp_path / "test" / "good" / "gt" / "000.png", mask(spot=None))
    save_mask(tmp_path / "test" / "hole" / "gt" / "000.png")
    found = read_with(form(tmp_path), tmp_path)
    assert form(tmp_path).name == "MVTec 3D-AD"
    assert found.kinds == {
        "train/good/rgb/000.png": "good",
        "validation/good/rgb/000.png": "good",
        "test/good/rgb/000.png": "good",
        "test/hole/rgb/000.png": "hole",
    }
    assert marked(found.of("test/hole/rgb/000.png")) == 60
    assert set(found.left_out.values()) == {POINTS}
    assert len(found.left_out) == 4


def test_of_ad2_one_object_under_several_lights_is_one_part(tmp_path: Path) -> None:
    can = tmp_path / "can"
    pictures(
        can,
        "train/good/000_regular.png",
        "validation/good/000_regular.png",
        "test_public/good/000_regular.png",
        "test_public/bad/000_regular.png",
        "test_public/bad/000_overexposed.png",
        "test_public/bad/000_shift_1.png",
        "test_private/000_regular.png",
        "test_private_mixed/000_mixed.png",
    )
    for light in ("regular", "overexposed", "shift_1"):
        save_mask(can / "test_public" / "ground_truth" / "bad" / f"000_{light}_mask.png")
    found = read_with(form(tmp_path), tmp_path)
    assert form(tmp_path).name == "MVTec AD 2"
    assert len(found.entries) == 6
    bad = [entry for entry in found.entries if entry.defect == "bad"]
    assert {entry.part for entry in bad} == {"can/test_public/bad/000"}
    assert {entry.domain for entry in bad} == {"can/regular", "can/overexposed", "can/shift_1"}
    assert [marked(entry) for entry in bad] == [60] * 3
    assert len({entry.part for entry in found.entries}) == 4
    assert found.left_out == {
        "can/test_private/000_regular.png": PRIVATE,
        "can/test_private_mixed/000_mixed.png": PRIVATE,
    }


def test_btads_ok_and_ko_are_read_with_masks(tmp_path: Path) -> None:
    pictures(tmp_path, "01/train/ok/0000.bmp", "01/test/ok/0001.bmp", "01/test/ko/0000.bmp")
    save_mask(tmp_path / "01" / "ground_truth" / "ko" / "0000.png")
    found = read_with(form(tmp_path), tmp_path)
    assert form(tmp_path).name == "BTAD"
    assert found.kinds["01/test/ko/0000.bmp"] == "ko"
    assert found.kinds["01/test/ok/0001.bmp"] == "good"
    assert marked(found.of("01/test/ko/0000.bmp")) == 60


def test_train_with_good_and_bad_is_not_mvtecs(tmp_path: Path) -> None:
    pictures(tmp_path, "train/good/a.png", "train/bad/b.png", "test/good/c.png", "test/bad/d.png")
    assert not any(recognised(form, tmp_path) for form in MVTEC_FORMS)
