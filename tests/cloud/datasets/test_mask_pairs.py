"""Masks beside pictures are told by place and content."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud.datasets.file_tree import FileTree
from cloud.datasets.mask_pairs import MaskPairs, looks_like_mask
from cloud.datasets.masks import MaskFiles
from shared.opener import Unopenable
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import mask, save_mask


def pairs(root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Masks by picture, and all pictures, as paths in the set."""
    found = MaskPairs.of(FileTree.of(root).pictures, root)

    def named(path: Path) -> str:
        return path.relative_to(root).as_posix()

    masks = {named(picture): sorted(map(named, own)) for picture, own in found.masks.items()}
    return masks, [named(path) for path in found.pictures]


@pytest.mark.parametrize(
    ("picture", "of_it"),
    [
        ("crack/x.jpg", "crack/x.png"),
        ("crack/x.png", "crack/x_mask.png"),
        ("crack/x.png", "crack/x_GT.png"),
        ("crack/x.png", "crack/x-label.bmp"),
        ("crack/x.JPG", "crack/mask/x.png"),
        ("crack/x.png", "masks/crack/x.png"),
        ("images/crack/x.png", "masks/crack/x.png"),
        ("crack/Imgs/x.jpg", "crack/gt/x.png"),
        ("test/crack/x.png", "ground_truth/crack/x_mask.png"),
        ("train/crack/x.png", "train/masks/crack/x.png"),
        ("crack/x.png", "ground_truth/crack/x/000.png"),
    ],
)
def test_a_mask_is_found_by_its_place(tmp_path: Path, picture: str, of_it: str) -> None:
    save(tmp_path / picture, part(1))
    save(tmp_path / "good" / "g.png", part(2))
    save_mask(tmp_path / of_it)
    assert pairs(tmp_path) == ({picture: [of_it]}, sorted([picture, "good/g.png"]))


def test_two_pictures_of_one_name_are_both_pictures(tmp_path: Path) -> None:
    save(tmp_path / "crack" / "x.jpg", part(1))
    save(tmp_path / "crack" / "x.png", part(2))
    assert pairs(tmp_path) == ({}, ["crack/x.jpg", "crack/x.png"])


def test_a_mask_that_two_pictures_could_have_is_wrong_and_not_guessed(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        save(tmp_path / split / "crack" / "x.png", part(1))
    there = save_mask(tmp_path / "masks" / "crack" / "x.png")
    found = MaskPairs.of(FileTree.of(tmp_path).pictures, tmp_path)
    assert [path for path, why in found.wrong if "could be a mask of" in why] == [there]


def test_several_masks_of_a_picture_are_all_taken(tmp_path: Path) -> None:
    save(tmp_path / "crack" / "x.png", part(1))
    for number in range(3):
        save_mask(tmp_path / "ground_truth" / "crack" / "x" / f"{number:03}.png")
    assert pairs(tmp_path)[0] == {
        "crack/x.png": [f"ground_truth/crack/x/{number:03}.png" for number in range(3)]
    }


def test_a_kind_that_is_called_like_masks_is_one_where_its_pictures_are_pictures(
    tmp_path: Path,
) -> None:
    save(tmp_path / "mask" / "a.png", part(1))
    save(tmp_path / "good" / "b.png", part(2))
    assert pairs(tmp_path) == ({}, ["good/b.png", "mask/a.png"])


def test_a_picture_in_the_place_of_a_mask_is_wrong(tmp_path: Path) -> None:
    save(tmp_path / "crack" / "x.png", part(1))
    there = save(tmp_path / "masks" / "crack" / "x.png", part(2))
    found = MaskPairs.of(FileTree.of(tmp_path).pictures, tmp_path)
    assert [(path, "many values" in why) for path, why in found.wrong] == [(there, True)]
    assert found.masks == {}


def test_a_cut_mask_is_wrong_and_one_without_a_picture_is_an_orphan(tmp_path: Path) -> None:
    save(tmp_path / "crack" / "x.png", part(1))
    cut = save_mask(tmp_path / "masks" / "crack" / "x.png")
    cut.write_bytes(cut.read_bytes()[:30])
    lost = save_mask(tmp_path / "masks" / "crack" / "y.png")
    found = MaskPairs.of(FileTree.of(tmp_path).pictures, tmp_path)
    assert [path for path, why in found.wrong if "can't be read" in why] == [cut]
    assert found.orphans == [lost]


@pytest.mark.parametrize("value", [1, 2, 128, 255])
def test_a_mask_of_any_value_looks_like_one(tmp_path: Path, value: int) -> None:
    assert looks_like_mask(save_mask(tmp_path / "m.png", mask(value=value)))


def test_an_empty_mask_and_a_mask_packed_with_losses_look_like_masks(tmp_path: Path) -> None:
    assert looks_like_mask(save_mask(tmp_path / "empty.png", mask(spot=None)))
    assert looks_like_mask(save_mask(tmp_path / "lossy.jpg", mask((200, 200), (50, 60, 80, 70))))


def test_a_picture_does_not_look_like_a_mask(tmp_path: Path) -> None:
    assert not looks_like_mask(save(tmp_path / "p.png", part(1)))
    colours = np.dstack([part(1), part(2), part(3)])
    assert not looks_like_mask(save(tmp_path / "c.png", colours))


def test_a_file_that_is_no_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_bytes(b"nothing")
    with pytest.raises(Unopenable):
        looks_like_mask(tmp_path / "m.png")


def test_what_is_marked_is_whatever_is_not_the_background(tmp_path: Path) -> None:
    first = save_mask(tmp_path / "a.png", mask(value=1))
    second = save_mask(tmp_path / "b.png", mask(spot=(0, 0, 4, 4), value=7))
    assert cv2.imread(str(first)) is not None
    assert MaskFiles((first, second)).pixels(64, 64).sum() == 60 + 16
