"""Entries → a data set: what is wrong told at once, what is decided said."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud.datasets.builder import ReadOptions
from cloud.datasets.likeness import SamePart
from cloud.datasets.readers import read, survey
from shared.errors import DataError, SettingsError
from tests.cloud.datasets.makers import good_and_bad, part, save


def homes(root: Path) -> dict[str, str]:
    return {s.image.name + s.defect: s.split for s in read(str(root)).samples}


def test_pictures_that_are_added_move_none_that_were_there(tmp_path: Path) -> None:
    before = homes(good_and_bad(tmp_path, 40, 20))
    for number in range(20):
        save(tmp_path / "good" / f"a{number}.png", part(5000 + number))
    after = homes(tmp_path)
    assert len(after) == 80
    assert {name: after[name] for name in before} == before


def test_a_set_is_divided_alike_wherever_it_lies(tmp_path: Path) -> None:
    before = homes(good_and_bad(tmp_path / "here", 20, 10))
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert homes(tmp_path / "there") == before


def test_one_picture_as_good_and_as_defective_is_refused(tmp_path: Path) -> None:
    good_and_bad(tmp_path, 6, 6)
    shutil.copy(tmp_path / "good" / "002.png", tmp_path / "blot" / "copy.png")
    with pytest.raises(DataError, match=r"002\.png: is good, and the same picture as .*copy\.png"):
        read(str(tmp_path))


def test_lot_and_line_change_no_content_hash(tmp_path: Path) -> None:
    good_and_bad(tmp_path, 6, 6)
    dataset = read(str(tmp_path))
    placed = tuple(replace(one, lot="L1", line="2") for one in dataset.samples)
    assert replace(dataset, samples=placed).content_hash() == dataset.content_hash()


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    good_and_bad(tmp_path, 6, 6)
    for name in ("good/001.png", "blot/003.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
    with pytest.raises(DataError, match=r"2 entries can't be used") as caught:
        read(str(tmp_path))
    assert "good/001.png" in str(caught.value)
    assert "blot/003.png" in str(caught.value)


def test_a_bad_picture_costs_itself_where_the_user_says_so(tmp_path: Path) -> None:
    good_and_bad(tmp_path, 6, 6)
    (tmp_path / "good" / "001.png").write_bytes(b"")
    found = survey(str(tmp_path), ReadOptions(skip_bad=True))
    assert len(found.dataset.samples) == 11
    assert found.account.counts() == {"picture": 11, "left out": 1}
    assert found.account.reasons() == {"bad, as told": 1}
    assert "001.png" in str(found.account.flaws[0])


def test_what_was_merged_is_said_by_name_and_can_be_kept_apart(tmp_path: Path) -> None:
    good_and_bad(tmp_path, 6, 6)
    pixels = np.asarray(np.clip(part(2).astype(int) + 9, 0, 255), np.uint8)
    save(tmp_path / "good" / "brighter.png", pixels)
    found = survey(str(tmp_path), ReadOptions())
    names = [[path.name for path in group] for group in found.groups]
    assert names == [["002.png", "brighter.png"]]
    assert any("brighter.png with 002.png" in note for note in found.account.notes)
    assert found.dataset.merged == 1
    apart = survey(str(tmp_path), ReadOptions(same_part=SamePart("never")))
    assert apart.groups == ()
    assert len(set(apart.dataset.parts)) == 13


def test_an_owners_split_is_kept_though_pictures_are_alike_and_it_is_said(tmp_path: Path) -> None:
    good_and_bad(tmp_path / "train", 6, 6)
    good_and_bad(tmp_path / "test", 0, 3)
    save(tmp_path / "test" / "good" / "twin.png", part(2))
    found = survey(str(tmp_path), ReadOptions())
    tests = {s.image.name for s in found.dataset.samples if s.split == "test"}
    assert tests == {"twin.png", "000.png", "001.png", "002.png"}
    assert any("what is measured there is too good" in note for note in found.account.notes)


def test_a_form_can_be_asked_for_by_name(tmp_path: Path) -> None:
    good_and_bad(tmp_path, 4, 4)
    assert survey(str(tmp_path), ReadOptions(data_format="Folders")).form == "folders"
    with pytest.raises(SettingsError, match=r"no data format 'tfds'; use one of COCO"):
        survey(str(tmp_path), ReadOptions(data_format="tfds"))
