"""KolektorSDD and KolektorSDD2, as published."""

from __future__ import annotations

from pathlib import Path

from cloud.datasets.readers.industrial.kolektor import KOLEKTOR_FORMS
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import marked, mask, read_with, recognised, save_mask

FIRST, SECOND = KOLEKTOR_FORMS


def test_of_kolektorsdd_a_folder_is_a_part_and_an_empty_mask_means_good(tmp_path: Path) -> None:
    for folder in ("kos01", "kos02"):
        for number in range(3):
            save(tmp_path / folder / f"Part{number}.jpg", part(number))
            spot = (4, 4, 6, 6) if number == 1 else None
            save_mask(tmp_path / folder / f"Part{number}_label.bmp", mask(spot=spot))
    found = read_with(FIRST, tmp_path)
    assert [entry.defect for entry in found.entries] == ["good", "defect", "good"] * 2
    assert [entry.part for entry in found.entries] == ["kos01"] * 3 + ["kos02"] * 3
    assert marked(found.of("kos01/Part1.jpg")) == 36
    assert found.account.counts() == {"picture": 6, "mask": 6, "left out": 0}
    assert not recognised(SECOND, tmp_path)


def test_of_kolektorsdd2_the_owners_division_is_kept(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number in (10000, 10001):
            save(tmp_path / split / f"{number}.png", part(number))
            spot = (4, 4, 6, 6) if number == 10001 else None
            save_mask(tmp_path / split / f"{number}_GT.png", mask(spot=spot, value=1))
    found = read_with(SECOND, tmp_path)
    assert found.kinds == {
        f"{split}/{number}.png": kind
        for split in ("train", "test")
        for number, kind in ((10000, "good"), (10001, "defect"))
    }
    assert {name.split("/")[0] for name, s in found.splits.items() if s == "test"} == {"test"}
    assert not recognised(FIRST, tmp_path)


def test_a_picture_without_its_mask_and_a_cut_one_are_named(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "train" / f"{number}.png", part(number))
        save_mask(tmp_path / "train" / f"{number}_GT.png")
    (tmp_path / "train" / "1_GT.png").unlink()
    cut = tmp_path / "train" / "2_GT.png"
    cut.write_bytes(cut.read_bytes()[:40])
    found = read_with(SECOND, tmp_path)
    assert list(found.kinds) == ["train/0.png"]
    assert found.flaws[0] == "train/1.png: has no mask 1_GT beside it"
    assert found.flaws[1].startswith("train/2_GT.png: is not a mask that can be read")
