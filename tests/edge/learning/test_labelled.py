"""Which parts a device learns from, and what it says about them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.learner.folder import PictureFile, PictureFiles, read_domains
from edge.learning.labelled_parts import LabelledPicture, counts_of, use_of
from shared.errors import DataError
from tests.cloud.datasets.makers import part, save

HEADER = "image,mask,defect,domain,part,split\n"


@given(st.text(max_size=30))
def test_a_part_always_has_the_same_use(name: str) -> None:
    assert use_of(name) == use_of(name)


def test_uses_come_in_the_shares_that_training_takes() -> None:
    found = Counter(use_of(f"part-{n}") for n in range(4000))
    assert found["train"] / 4000 == pytest.approx(0.6, abs=0.03)
    assert found["calibrate"] / 4000 == pytest.approx(0.15, abs=0.03)


def test_counts_are_of_parts_and_one_bad_picture_makes_a_part_defective(tmp_path: Path) -> None:
    def labelled(part_: str, bad: bool, use: str = "train") -> PictureFile:
        label = LabelledPicture(part_, bad, "blot" if bad else "good", "a", use)  # type: ignore[arg-type]
        return PictureFile(label, tmp_path / "none.png", None)

    files = [labelled("1", bad=False), labelled("1", bad=True), labelled("2", bad=False),
             labelled("3", bad=False, use="calibrate")]  # fmt: skip
    counts = counts_of(PictureFiles("box", files), "sha")
    assert (counts.good, counts.defective, counts.held_out) == ({"a": 1}, {"a": 1}, 1)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.png", part(1, defective=name == "b"))
    mask = np.zeros((64, 64), np.uint8)
    mask[10:20, 10:20] = 255
    save(tmp_path / "b-mask.png", mask)
    path = tmp_path / "splits.csv"
    rows = "a.png,,free,1,p0,train\nb.png,b-mask.png,crack,1,p1,test\nc.png,,,2,p2,\n"
    path.write_text(HEADER + rows)
    return path


def test_a_manifest_gives_one_device_a_domain(manifest: Path) -> None:
    devices = read_domains(manifest)
    assert list(devices) == ["1", "2"]
    good, bad = devices["1"].index()
    assert (good.defective, good.kind, good.use) == (False, "good", "train")
    assert (bad.defective, bad.kind, bad.use) == (True, "crack", "test")
    assert devices["2"].index()[0].use == use_of("p2")
    mask = devices["1"].mask(1)
    assert mask is not None
    assert int(mask.sum()) == 100
    empty = devices["1"].mask(0)
    assert empty is not None
    assert not empty.any()
    assert devices["2"].mask(0) is None
    assert list(read_domains(manifest, ["2"])) == ["2"]


def test_a_domain_that_is_not_there_is_named_beside_those_that_are(manifest: Path) -> None:
    with pytest.raises(DataError, match="has no domain 7; its domains are 1, 2"):
        read_domains(manifest, ["7"])


def test_a_manifest_without_parts_or_a_picture_that_is_none_is_refused(manifest: Path) -> None:
    (manifest.parent / "a.png").write_text("no picture")
    with pytest.raises(DataError, match=r"a\.png is not a picture"):
        read_domains(manifest)["1"].picture(0)
    manifest.write_text("image,defect\na.png,free\n")
    with pytest.raises(DataError, match="has no column part"):
        read_domains(manifest)
    manifest.write_text("")
    with pytest.raises(DataError, match="has no column defect, image, part"):
        read_domains(manifest)


def test_a_picture_whose_depth_nobody_said_is_refused_and_not_darkened(manifest: Path) -> None:
    deep = np.full((8, 8), 2512, np.uint16)
    assert cv2.imwrite(str(manifest.parent / "a.png"), deep)
    with pytest.raises(DataError, match=r"a\.png is a picture of uint16.*may be any depth"):
        read_domains(manifest)["1"].picture(0)
