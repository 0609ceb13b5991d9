"""Data sets on disk → samples."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.datasets.dataset import SPLITS, Dataset, Split, check, parts_in_two_splits
from cloud.datasets.elpv_division import divide
from cloud.datasets.masks import MaskFiles
from cloud.datasets.readers import read
from shared.errors import DataError
from tests.cloud.datasets.makers import good_and_bad, part, sample, save


def manifest(root: Path, text: str) -> Path:
    path = root / "parts.csv"
    path.write_text(text)
    return path


@pytest.fixture
def six(tmp_path: Path) -> Path:
    """A folder with six pictures, 0.png to 5.png."""
    for number in range(6):
        save(tmp_path / f"{number}.png", part(number, defective=number > 2))
    return tmp_path


WHOLE = """\
image,mask,defect,part,domain,split
0.png,,free,a,line-1,train
1.png,,free,a,line-2,train
2.png,,OK,b,,calibrate
3.png,3.png,crack,c,,train
4.png,,crack,d,,calibrate
5.png,,blowhole,e,,test
"""


def test_a_whole_manifest_is_taken_at_its_word(six: Path) -> None:
    dataset = read(str(manifest(six, WHOLE)))
    assert [s.split for s in dataset.samples] == [
        *("train", "train", "calibrate", "train", "calibrate", "test")
    ]
    assert dataset.parts == ["a", "a", "b", "c", "d", "e"]
    assert dataset.classes == ["blowhole", "crack"]
    assert dataset.labels.tolist() == [False, False, False, True, True, True]
    assert [s.domain for s in dataset.samples][:3] == ["line-1", "line-2", "all"]
    assert dataset.samples[3].mask == MaskFiles((six / "3.png",))
    assert all(s.image.is_absolute() for s in dataset.samples)
    assert dataset.merged == 0
    assert dataset.has_masks


@pytest.mark.parametrize("name", ["splits.csv", "manifest.csv"])
def test_a_folder_with_a_manifest_is_read_by_it(six: Path, name: str) -> None:
    manifest(six, WHOLE).rename(six / name)
    (six / "LICENCE").write_text("CC BY 4.0\nand so on\n")
    dataset = read(str(six))
    assert len(dataset.samples) == 6
    assert dataset.licence == "CC BY 4.0"


def test_a_manifest_from_a_spreadsheet_is_read(six: Path) -> None:
    path = six / "parts.csv"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())
    assert len(read(str(path)).samples) == 6


def test_without_part_and_split_copies_stay_together(six: Path) -> None:
    rows = ["image,defect", *(f"{n}.png,{'crack' if n > 2 else 'good'}" for n in range(6))]
    for number in range(6):
        pixels = cv2.imread(str(six / f"{number}.png"), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        brighter = np.clip(pixels.astype(int) + 9, 0, 255).astype(np.uint8)
        save(six / f"{number}-brighter.png", brighter)
        save(six / f"{number}-again.jpg", np.asarray(pixels, np.uint8))
        kind = "crack" if number > 2 else "good"
        rows += [f"{number}-brighter.png,{kind}", f"{number}-again.jpg,{kind}"]
    dataset = read(str(manifest(six, "\n".join(rows))))
    assert dataset.merged == 12
    groups = Counter(dataset.parts)
    assert sorted(groups.values()) == [3] * 6
    by_number = {s.image.name[0]: s.part for s in dataset.samples}
    assert all(s.part == by_number[s.image.name[0]] for s in dataset.samples)
    assert not parts_in_two_splits(dataset.samples)


def test_a_manifest_with_parts_alone_divides_them_whole(six: Path) -> None:
    rows = [f"{n}.png,{'crack' if n > 2 else 'good'},{'ab'[n > 2]}" for n in range(6)]
    dataset = read(str(manifest(six, "\n".join(["image,defect,part", *rows]))))
    assert dataset.merged == 0
    for _, members in groupby(dataset.samples, key=lambda s: s.part):
        assert len({s.split for s in members}) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column defect, image (it has none)"),
        (
            "image,defect,split\n0.png,good,train\n1.png,crack,trian\n",
            "parts.csv:3: split is 'trian'",
        ),
        ("image,defect,part,split\n0.png,good,a\n", "parts.csv:2: split is ''"),
        ("image,defect,part,split\nx.png,good,a,train\n", "parts.csv:2: x.png is not there"),
        ("image,mask,defect,part,split\n0.png,x.png,crack,a,train\n", "x.png"),
        ("image,defect\nx.png,good\n", "parts.csv:2: x.png is not there"),
        ("image,defect\n", "has no pictures"),
        ("image,defect,part,split\n", "has no pictures"),
        (
            "image,defect,part,split\n0.png,good,a,train\n1.png,good,a,test\n",
            "parts.csv:3: part a is in test, in line 2 it is in train",
        ),
    ],
)
def test_a_bad_manifest_is_told_with_what_is_wrong(six: Path, text: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read(str(manifest(six, text)))
    assert said in str(caught.value)


def test_a_manifest_in_another_encoding_is_told(six: Path) -> None:
    (six / "parts.csv").write_bytes("image,defect\n0.png,Lücke\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        read(str(six / "parts.csv"))


def test_a_damaged_manifest_is_told_with_its_line(six: Path) -> None:
    (six / "parts.csv").write_bytes(b"image,defect\n0.png,good\n1\0.png,crack\n")
    with pytest.raises(DataError, match=r"parts\.csv:3: there is a NUL byte"):
        read(str(six / "parts.csv"))


def test_a_truncated_picture_is_named(six: Path) -> None:
    (six / "3.png").write_bytes((six / "3.png").read_bytes()[:20])
    with pytest.raises(DataError, match=r"3\.png: is not a picture"):
        read(str(manifest(six, "image,defect\n0.png,good\n3.png,crack\n")))


@pytest.mark.parametrize("source", ["nowhere", "nowhere.csv"])
def test_a_path_that_leads_nowhere_is_told(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read(str(tmp_path / source))


def mvtec(root: Path) -> Path:
    for number in range(8):
        save(root / "train" / "good" / f"{number:03}.png", part(number))
    for number in range(4):
        save(root / "test" / "good" / f"{number:03}.png", part(100 + number))
        save(root / "test" / "crack" / f"{number:03}.png", part(200 + number, defective=True))
        mask = np.zeros((64, 64), np.uint8)
        mask[20:30, 20:30] = 255
        save(root / "ground_truth" / "crack" / f"{number:03}_mask.png", mask)
        save(root / "test" / "bent" / f"{number:03}.png", part(300 + number, defective=True))
    return root


def test_mvtecs_layout_is_read_with_masks_and_divided_anew(tmp_path: Path) -> None:
    dataset = read(str(mvtec(tmp_path / "capsule")))
    assert dataset.name == "capsule"
    assert len(dataset.samples) == 20
    assert dataset.classes == ["bent", "crack"]
    assert any("divided anew" in note for note in dataset.notes)
    for s in dataset.samples:
        assert (s.mask is not None) == (s.defect == "crack")
        if s.mask is not None:
            assert s.mask.files[0].stem == f"{s.image.stem}_mask"


def test_good_and_bad_folders_are_read(tmp_path: Path) -> None:
    dataset = read(str(good_and_bad(tmp_path, 20, 12)))
    assert Counter(s.defect for s in dataset.samples) == {"good": 20, "blot": 12}
    assert len(set(dataset.parts)) == 32
    again = read(str(tmp_path))
    assert again.samples == dataset.samples
    assert read(str(tmp_path), seed=1).samples != dataset.samples


def test_a_good_folder_by_another_name_is_good(tmp_path: Path) -> None:
    good_and_bad(tmp_path, 4, 4)
    (tmp_path / "good").rename(tmp_path / "Normal")
    assert read(str(tmp_path)).classes == ["blot"]


def test_good_parts_alone_are_a_data_set_too(tmp_path: Path) -> None:
    dataset = read(str(good_and_bad(tmp_path, 20, 0)))
    assert dataset.classes == []
    assert not dataset.labels.any()


@pytest.mark.parametrize("folders", [[], ["blot"], ["blot", "dent"]])
def test_folders_without_good_parts_are_told(tmp_path: Path, folders: list[str]) -> None:
    for name in folders:
        save(tmp_path / name / "0.png", part(0))
    with pytest.raises(DataError, match=r"the folders .*; put good parts in a folder `good`"):
        read(str(tmp_path))


def test_folders_without_pictures_are_told(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match="1 files, 0 pictures, the folders bad"):
        read(str(tmp_path))


def test_a_split_without_samples_is_told_with_those_that_have_some(six: Path) -> None:
    rows = "image,defect,part,split\n0.png,good,a,train\n1.png,crack,b,test\n"
    dataset = read(str(manifest(six, rows)))
    with pytest.raises(DataError, match=r"no samples in the split 'calibrate'; .*test, train"):
        dataset.of("calibrate")


@pytest.fixture(scope="session")
def elpv() -> Dataset:
    return read("elpv")


def test_elpv_comes_whole_from_its_wheel_with_its_licence(elpv: Dataset) -> None:
    assert len(elpv.samples) == 2624
    assert {round(float(t), 2) for t in elpv.targets} == {0.0, 0.33, 0.67, 1.0}
    assert {s.domain for s in elpv.samples} == {"mono", "poly"}
    assert "CC BY-NC-SA 4.0" in elpv.licence
    assert elpv.classes == ["defect"]


def test_elpvs_near_identical_cells_stay_on_one_side(elpv: Dataset) -> None:
    assert elpv.merged == len(elpv.samples) - len(set(elpv.parts)) > 0
    assert not parts_in_two_splits(elpv.samples)
    shares = Counter(s.split for s in elpv.samples)
    assert shares["test"] / 2624 == pytest.approx(0.25, abs=0.02)
    assert shares["calibrate"] / 2624 == pytest.approx(0.15, abs=0.02)
    for split in SPLITS:
        of = elpv.of(split)
        assert of.labels.mean() == pytest.approx(elpv.labels.mean(), abs=0.03)


names = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60)
shares = st.fixed_dictionaries({s: st.floats(0.05, 1) for s in SPLITS})


@given(st.data(), names, shares, st.integers(0, 9))
def test_a_part_never_lies_in_two_splits(
    data: st.DataObject, parts: list[str], shares: dict[Split, float], seed: int
) -> None:
    kinds = data.draw(
        st.lists(st.sampled_from(["x", "y"]), min_size=len(parts), max_size=len(parts))
    )
    splits = divide(parts, kinds, shares, seed)
    home = dict(zip(parts, splits, strict=True))
    assert [home[name] for name in parts] == splits
    assert divide(parts, kinds, shares, seed) == splits


@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 5))
def test_every_stratum_is_divided_by_the_shares(good: int, bad: int, seed: int) -> None:
    parts = [f"p{n}" for n in range(good + bad)]
    kinds = ["good"] * good + ["bad"] * bad
    wanted: dict[Split, float] = {"train": 0.6, "calibrate": 0.15, "test": 0.25}
    splits = divide(parts, kinds, wanted, seed)
    for kind in ("good", "bad"):
        members = [s for s, k in zip(splits, kinds, strict=True) if k == kind]
        for split, share in wanted.items():
            assert abs(members.count(split) - share * len(members)) <= 1


def test_the_hash_changes_with_pictures_labels_and_splits(tmp_path: Path) -> None:
    images = [save(tmp_path / f"{n}.png", part(n)) for n in range(2)]
    rows = tuple(sample(image, part=image.name) for image in images)
    base = Dataset("a", "none", rows).content_hash()
    assert Dataset("other", "none", rows[::-1]).content_hash() == base
    other_split = (rows[0], sample(images[1], part=images[1].name, split="test"))
    other_label = (rows[0], sample(images[1], part=images[1].name, target=1.0))
    changed = {Dataset("a", "none", found).content_hash() for found in (other_split, other_label)}
    save(images[0], part(9))
    changed.add(Dataset("a", "none", rows).content_hash())
    assert len(changed | {base}) == 4


def test_a_part_on_two_sides_is_refused(tmp_path: Path) -> None:
    images = [save(tmp_path / f"{n}.png", part(n)) for n in range(2)]
    rows = (sample(images[0], part="p"), sample(images[1], part="p", split="test"))
    with pytest.raises(DataError, match="1 parts of a lie in two splits, the first is p"):
        check(Dataset("a", "none", rows))
