"""Folders of kinds, as people and tools lay them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.datasets.readers.industrial.kind_folders import OUTSIDE, KindFolders
from shared.errors import DataError
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import marked, mask, read_with, recognised, save_mask


def pictures(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        save(root / name, part(number))
    return root


def test_each_folder_is_a_kind(tmp_path: Path) -> None:
    pictures(tmp_path, "good/a.png", "scratch/b.png", "dent/c.bmp")
    found = read_with(KindFolders(), tmp_path)
    assert found.kinds == {"good/a.png": "good", "scratch/b.png": "scratch", "dent/c.bmp": "dent"}
    assert set(found.splits.values()) == {None}
    assert found.left_out == {}


def test_a_division_into_train_and_test_with_defects_in_both_is_the_owners(tmp_path: Path) -> None:
    """The casting set: half of it was dropped, and its test pictures went into train."""
    pictures(
        tmp_path,
        "train/ok_front/a.jpeg",
        "train/def_front/b.jpeg",
        "test/ok_front/c.jpeg",
        "test/def_front/d.jpeg",
    )
    found = read_with(KindFolders(), tmp_path)
    assert found.splits == {
        "train/ok_front/a.jpeg": "train",
        "train/def_front/b.jpeg": "train",
        "test/ok_front/c.jpeg": "test",
        "test/def_front/d.jpeg": "test",
    }
    assert [found.kinds[name] for name in sorted(found.kinds)] == [
        *("def_front", "good", "def_front", "good")
    ]
    assert "owner's division is kept: test, train" in found.notes
    assert "ok_front taken as good" in found.notes


def test_a_division_in_any_depth_is_read_and_the_rest_are_domains(tmp_path: Path) -> None:
    pictures(
        tmp_path,
        "screws/train/good/a.png",
        "screws/val/bad/b.png",
        "screws/train/bad/c.png",
        "nuts/good/test/d.png",
    )
    found = read_with(KindFolders(), tmp_path)
    assert found.splits == {
        "screws/train/good/a.png": "train",
        "screws/val/bad/b.png": "calibrate",
        "screws/train/bad/c.png": "train",
        "nuts/good/test/d.png": "test",
    }
    assert {e.domain for e in found.entries} == {"screws", "nuts"}


def test_a_train_without_defects_is_divided_anew_and_it_is_said(tmp_path: Path) -> None:
    pictures(tmp_path, "train/good/a.png", "test/good/b.png", "test/crack/c.png")
    found = read_with(KindFolders(), tmp_path)
    assert set(found.splits.values()) == {None}
    assert "divided anew: the owner's train has no defects" in found.notes


def test_good_parts_alone_keep_their_division(tmp_path: Path) -> None:
    pictures(tmp_path, "train/good/a.png", "test/good/b.png")
    assert set(read_with(KindFolders(), tmp_path).splits.values()) == {"train", "test"}


def test_magnetic_tiles_own_layout_has_masks_and_no_kind_imgs(tmp_path: Path) -> None:
    for kind in ("MT_Blowhole", "MT_Crack", "MT_Free"):
        save(tmp_path / kind / "Imgs" / f"{kind}1.jpg", part(len(kind)))
        save_mask(
            tmp_path / kind / "Imgs" / f"{kind}1.png",
            mask(spot=None if kind == "MT_Free" else (5, 5, 8, 8)),
        )
    found = read_with(KindFolders(), tmp_path)
    assert found.kinds == {
        "MT_Blowhole/Imgs/MT_Blowhole1.jpg": "MT_Blowhole",
        "MT_Crack/Imgs/MT_Crack1.jpg": "MT_Crack",
        "MT_Free/Imgs/MT_Free1.jpg": "good",
    }
    assert [marked(entry) for entry in found.entries] == [64, 64, 0]
    assert "3 files are masks of 3 pictures, not parts" in found.notes
    assert found.account.counts() == {"picture": 3, "mask": 3, "left out": 0}


def test_folders_of_the_system_are_no_kinds_and_are_accounted_for(tmp_path: Path) -> None:
    pictures(
        tmp_path,
        "good/a.png",
        "bad/b.png",
        ".ipynb_checkpoints/a-checkpoint.png",
        "@eaDir/a.png",
        "good/._a.png",
    )
    found = read_with(KindFolders(), tmp_path)
    assert set(found.kinds.values()) == {"good", "bad"}
    assert len(found.entries) == 2
    assert len(found.left_out) == 3


def test_a_picture_outside_of_the_kinds_is_left_out_with_why(tmp_path: Path) -> None:
    pictures(tmp_path, "good/a.png", "bad/b.png", "overview.png")
    (tmp_path / "notes.txt").write_text("of May")
    found = read_with(KindFolders(), tmp_path)
    assert found.left_out == {"overview.png": OUTSIDE, "notes.txt": "no part of this format"}


def test_a_mask_without_its_picture_is_left_out(tmp_path: Path) -> None:
    pictures(tmp_path, "good/a.png", "bad/b.png")
    save_mask(tmp_path / "masks" / "bad" / "gone.png")
    assert read_with(KindFolders(), tmp_path).left_out == {
        "masks/bad/gone.png": "a mask whose picture is not there"
    }


def test_kinds_inside_of_bad_are_kinds_and_days_are_not(tmp_path: Path) -> None:
    pictures(tmp_path / "1", "good/a.png", "bad/scratch/b.png", "bad/dent/c.png")
    assert set(read_with(KindFolders(), tmp_path / "1").kinds.values()) == {
        *("good", "scratch", "dent")
    }
    pictures(tmp_path / "2", "good/monday/a.png", "bad/monday/b.png", "bad/friday/c.png")
    found = read_with(KindFolders(), tmp_path / "2")
    assert set(found.kinds.values()) == {"good", "bad"}
    assert "the folders in bad (friday, monday) all count as bad" in found.notes


def test_kinds_that_differ_in_case_are_one(tmp_path: Path) -> None:
    pictures(tmp_path, "a/good/1.png", "a/Crack/2.png", "b/good/3.png", "b/crack/4.png")
    assert set(read_with(KindFolders(), tmp_path).kinds.values()) == {"good", "Crack"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["scratch/a.png", "dent/b.png"], "none of dent, scratch says that a part is good"),
        (["good/a.png", "line1/good/b.png", "line1/bad/c.png"], "good parts at two depths"),
        (["0/a.png", "1/b.png", "2/c.png"], "has the folders 0, 1, 2"),
    ],
)
def test_folders_that_do_not_say_which_parts_are_good_are_refused(
    tmp_path: Path, names: list[str], said: str
) -> None:
    pictures(tmp_path, *names)
    with pytest.raises(DataError) as caught:
        read_with(KindFolders(), tmp_path)
    assert said in str(caught.value)
    assert "put " in caught.value.fix


def test_upper_case_endings_and_rarer_types_are_read(tmp_path: Path) -> None:
    pictures(tmp_path, "good/a.PNG", "good/b.pgm", "bad/c.jpe", "bad/d.TIFF")
    (tmp_path / "bad" / "c.jpe").rename(tmp_path / "bad" / "c.jfif")
    assert len(read_with(KindFolders(), tmp_path).entries) == 4


def test_pictures_in_no_folder_are_another_form(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    assert not recognised(KindFolders(), tmp_path)
