"""Defects painted onto good parts, and the training set that is made of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.datasets.dataset import Dataset
from cloud.datasets.readers import read
from cloud.training.defect_painter import KINDS, Painter
from cloud.training.options import Options
from cloud.training.painted_defects import PAINTED, good_parts, paint_set
from shared.errors import DataError, TrainingError
from shared.painting.shapes import area, bite, blob, box, crack, pits, scratches
from shared.splitnet.network import Architecture
from tests.cloud.datasets.makers import good_and_bad, part, sample, save

pytestmark = pytest.mark.torch

SIZE = 64
OPTIONS = Options(architecture=Architecture(height=SIZE, width=SIZE))
SHAPES = (scratches, crack, pits, blob, box, bite, area)


def goods(count: int, channels: int = 1) -> np.ndarray:
    return np.stack([np.repeat(part(n)[np.newaxis], channels, axis=0) for n in range(count)])


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 10_000),
    size=st.sampled_from([(32, 32), (64, 96), (128, 32)]),
)
def test_a_shape_covers_pixels_by_shares(shape: object, seed: int, size: tuple[int, int]) -> None:
    assert callable(shape)
    drawn = shape(np.random.default_rng(seed), *size)
    assert drawn.shape == size
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() <= drawn.max() <= 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), channels=st.sampled_from([1, 3]))
def test_a_painted_defect_can_be_seen_where_its_mask_lies(seed: int, channels: int) -> None:
    pictures = goods(4, channels)
    before = pictures.copy()
    painted = Painter(pictures, seed).paint(pictures[seed % 4])
    assert (pictures == before).all()
    change = np.abs(painted.picture.astype(int) - pictures[seed % 4]).max(axis=0)
    assert painted.mask.sum() >= 6
    assert painted.mask.mean() < 0.6
    assert change[painted.mask].max() >= 4
    assert change[painted.mask].mean() > 2 * change[~painted.mask].mean()


def test_every_kind_is_painted_about_as_often_as_it_should() -> None:
    pictures = goods(6)
    painter = Painter(pictures, 1)
    found = Counter(painter.paint(pictures[n % 6]).kind for n in range(400))
    for kind in KINDS:
        # Those that can't be seen are painted anew, which shifts the shares.
        assert found[kind.name] / 400 == pytest.approx(kind.share, abs=0.6 * kind.share + 0.02)


def test_the_same_seed_paints_the_same() -> None:
    one, other, third = (Painter(goods(3), seed).paint(goods(3)[0]) for seed in (5, 5, 6))
    assert (one.picture == other.picture).all()
    assert (one.picture != third.picture).any()


def test_a_picture_too_small_for_any_defect_is_told() -> None:
    with pytest.raises(TrainingError, match=r"can be seen on a picture of 2×2 pixels"):
        Painter(np.full((1, 1, 2, 2), 90, np.uint8), 0).paint(np.full((1, 2, 2), 90, np.uint8))


@pytest.fixture
def parts(tmp_path: Path) -> Dataset:
    return read(str(good_and_bad(tmp_path / "parts", 40, 12)))


def test_a_painted_set_keeps_good_parts_and_adds_masked_defects(
    parts: Dataset, tmp_path: Path
) -> None:
    kept = good_parts(parts)
    assert not kept.labels.any()
    made = paint_set(kept, OPTIONS, tmp_path / "run")
    for split, copies in (("train", 8), ("calibrate", 1)):
        of_split = [s for s in made.samples if s.split == split]
        good = [s for s in of_split if not s.defective]
        painted = [s for s in of_split if s.defective]
        assert {s.image for s in good} == {s.image for s in kept.samples if s.split == split}
        assert len(painted) == copies * len(good)
        assert {s.part for s in painted} == {s.part for s in good}
    assert made.classes == [PAINTED]
    for one in made.samples:
        if one.defective:
            assert one.mask is not None
            mask = cv2.imread(str(one.mask.files[0]), cv2.IMREAD_GRAYSCALE)
            assert mask is not None
            assert mask.shape == (SIZE, SIZE)
            assert set(np.unique(mask)) == {0, 255}


def test_painting_goes_on_from_what_is_there_and_never_from_half_of_it(
    parts: Dataset, tmp_path: Path
) -> None:
    run, kept = tmp_path / "run", good_parts(parts)
    first = paint_set(kept, OPTIONS, run)
    (folder,) = (run / PAINTED).iterdir()
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert paint_set(kept, OPTIONS, run).samples == first.samples
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    folder.rename(folder.with_suffix(".partial"))
    next(folder.with_suffix(".partial").iterdir()).unlink()
    again = paint_set(kept, OPTIONS, run)
    assert again.content_hash() == first.content_hash()
    other = paint_set(kept, replace(OPTIONS, seed=1), run)
    assert other.content_hash() != first.content_hash()


def test_doubtful_parts_are_not_good_ones(parts: Dataset) -> None:
    doubtful = {s.image for s in parts.samples if not s.defective and s.split == "train"}
    doubtful = set(sorted(doubtful)[:3])
    changed = tuple(replace(s, target=0.33) if s.image in doubtful else s for s in parts.samples)
    kept = {s.image for s in good_parts(replace(parts, samples=changed)).samples}
    assert not kept & doubtful


@pytest.mark.parametrize(("split", "fewest"), [("train", 10), ("calibrate", 5)])
def test_too_few_good_parts_are_told_with_what_is_missing(
    parts: Dataset, split: str, fewest: int
) -> None:
    good = [s for s in parts.samples if s.split == split and not s.defective][2:]
    samples = tuple(s for s in parts.samples if s not in good)
    wanted = rf"has 2 good parts in the split '{split}', at least {fewest} .*add pictures of "
    with pytest.raises(TrainingError, match=wanted + rf"{fewest - 2} more good parts"):
        good_parts(replace(parts, samples=samples))


def test_no_good_part_at_all_is_told(tmp_path: Path) -> None:
    image = save(tmp_path / "0.png", part(0, defective=True))
    bad = Dataset("bad", "", (sample(image, part="0", target=1.0),))
    with pytest.raises(TrainingError, match="bad has 0 good parts in the split 'train'"):
        good_parts(bad)


def test_a_set_without_calibration_parts_is_told(tmp_path: Path) -> None:
    made = tuple(sample(save(tmp_path / f"{n}.png", part(n)), part=str(n)) for n in range(12))
    with pytest.raises(DataError, match="has no samples in the split 'calibrate'"):
        good_parts(Dataset("parts", "", made))


def test_copies_of_one_picture_are_told(tmp_path: Path) -> None:
    made = tuple(sample(save(tmp_path / f"{n}.png", part(0)), part=str(n)) for n in range(12))
    with pytest.raises(TrainingError, match=r"the 12 good pictures .* are copies of 1"):
        good_parts(Dataset("parts", "", made))
