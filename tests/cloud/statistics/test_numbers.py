"""Metrics, augmentation, prepared pictures, the report: numbers in, numbers out."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import load_pictures
from cloud.statistics.metrics import auroc, average_precision, best_threshold, threshold_at
from cloud.training.assembly import TAIL_WEIGHTS, weigh
from shared.errors import DataError
from shared.splitnet.augmentation import Augmentation, augment
from tests.cloud.datasets.makers import part, sample, save


class Scored(NamedTuple):
    scores: NDArray[np.float64]
    labels: NDArray[np.bool_]


@st.composite
def scored(draw: st.DrawFn) -> Scored:
    size = draw(st.integers(1, 30))
    # A few values only, so that ties are common, or any at all.
    few = st.sampled_from([0.0, 0.1, 0.5, 1.0])
    scores = draw(
        hnp.arrays(np.float64, size, elements=draw(st.sampled_from([few, st.floats(0, 1)])))
    )
    return Scored(scores, draw(hnp.arrays(bool, size)))


@given(scored())
def test_auroc_is_how_often_a_defective_part_scores_above_a_good_one(case: Scored) -> None:
    bad, good = case.scores[case.labels], case.scores[~case.labels]
    if not len(bad) or not len(good):
        assert math.isnan(auroc(*case))
        return
    pairs = [1.0 if b > g else 0.5 if b == g else 0.0 for b in bad for g in good]
    assert auroc(*case) == pytest.approx(np.mean(pairs))


@given(scored())
def test_average_precision_is_the_area_below_precision_over_recall(case: Scored) -> None:
    if not case.labels.any():
        assert math.isnan(average_precision(*case))
        return
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(case.scores.tolist()), reverse=True):
        called = case.scores >= threshold
        recall = case.labels[called].sum() / case.labels.sum()
        area += (recall - recall_before) * case.labels[called].mean()
        recall_before = recall
    assert average_precision(*case) == pytest.approx(area)


@given(scored())
def test_no_threshold_is_right_more_often_than_the_best(case: Scored) -> None:
    def right(threshold: float) -> int:
        return int(((case.scores >= threshold) == case.labels).sum())

    best = right(best_threshold(*case))
    assert best == max(right(t) for t in [*case.scores.tolist(), 2.0])


@given(scored(), st.sampled_from([0.0, 0.05, 0.29, 0.5]))
def test_no_lower_threshold_keeps_overkill_within_its_limit(case: Scored, most: float) -> None:
    good = ~case.labels

    def within(threshold: float) -> bool:
        return int((case.scores[good] >= threshold).sum()) <= most * int(good.sum()) + 1e-9

    threshold = threshold_at(*case, most)
    if threshold is None:
        assert not good.any()
        return
    assert within(threshold)
    assert not any(within(score) for score in case.scores[good] if score < threshold)


def test_what_the_gate_has_decided_no_threshold_moves() -> None:
    labels = np.array([False, False, False, True, True])
    always = np.array([np.inf, 0.2, 0.1, -np.inf, 0.5])
    assert threshold_at(always, labels, 0.0) is None
    threshold = threshold_at(always, labels, 0.34)
    assert threshold is not None
    assert 0.2 < threshold < 0.5


def test_neighbouring_floats_are_still_separated() -> None:
    low = 0.5
    scores = np.array([low, np.nextafter(low, 1)])
    for one in (scores, scores.astype(np.float64) * 0.75):
        threshold = best_threshold(one, np.array([False, True]))
        assert (one >= threshold).tolist() == [False, True]


def mask_of(pictures: torch.Tensor) -> torch.Tensor:
    """Where pictures are bright, at an eighth of their size."""
    return (torch.nn.functional.avg_pool2d(pictures[:, :1], 8)[:, 0] > 128).float()


@given(st.integers(0, 2**31), st.sampled_from([(64, 64), (64, 128)]))
def test_an_augmented_mask_still_lies_on_its_defect(seed: int, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.zeros(4, 1, *size)
    for index in range(4):
        # So far inside that no change takes it over the edge, behind which pictures are mirrored.
        rng = np.random.default_rng(seed + index)
        y, x = (8 * int(rng.integers(n // 32, n * 5 // 64)) for n in size)
        pictures[index, :, y : y + 16, x : x + 16] = 255
    how = Augmentation(exposure=0.0)
    moved, mask = augment(pictures, mask_of(pictures), how, generator)
    found = torch.nn.functional.avg_pool2d(moved, 8)[:, 0] / 255
    assert moved.shape == pictures.shape
    assert mask.shape == found.shape
    for index in range(4):
        both = float(torch.minimum(found[index], mask[index]).sum())
        either = float(torch.maximum(found[index], mask[index]).sum())
        assert both / either > 0.5
        assert centre(found[index]) == pytest.approx(centre(mask[index]), abs=0.7)


def centre(places: torch.Tensor) -> tuple[float, float]:
    y, x = torch.meshgrid(*(torch.arange(n).float() for n in places.shape), indexing="ij")
    return float((y * places).sum() / places.sum()), float((x * places).sum() / places.sum())


def test_augmentation_repeats_with_its_generator_and_stays_in_range() -> None:
    pictures = torch.from_numpy(np.stack([part(n) for n in range(4)]))[:, None].float()
    mask = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(0))
    one, two, other = (
        augment(pictures, mask, Augmentation(), torch.Generator().manual_seed(seed))[0]
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 255
    exposed = augment(pictures, mask, Augmentation(0.5, 0, 0, 0), torch.Generator().manual_seed(3))[
        0
    ]
    assert (exposed.mean(dim=(1, 2, 3)) - pictures.mean(dim=(1, 2, 3))).abs().max() > 5


def dataset(*rows: tuple[Path, float]) -> Dataset:
    samples = (sample(path, part=str(path), target=target) for path, target in rows)
    return Dataset("made up", "none", tuple(samples))


def test_prepared_pictures_are_kept_until_a_file_changes(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", part(1))
    wanted = dataset((image, 0.0))
    first = np.array(load_pictures(wanted, 64, 64, 1, tmp_path / "cache").inputs)
    np.testing.assert_array_equal(first[0, 0], part(1))
    load_pictures(wanted, 64, 64, 1, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    save(image, part(2))
    os.utime(image, ns=(1, 1))
    again = load_pictures(wanted, 64, 64, 1, tmp_path / "cache").inputs
    np.testing.assert_array_equal(again[0, 0], part(2))


def test_masks_are_coarse_and_known_where_the_set_has_some(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", part(1))
    pixels = np.zeros((64, 64), np.uint8)
    pixels[8:16, 16:32] = 255
    pixels[40, :] = 255
    mask = save(tmp_path / "mask.png", pixels)
    bad, unmasked = sample(image, part="b", target=1.0), sample(image, part="c", target=1.0)
    good = sample(image, part="a")
    rows = (good, replace(bad, mask=mask), unmasked)
    found = load_pictures(Dataset("m", "none", rows), 64, 64, 1, tmp_path / "cache")
    assert found.masked.tolist() == [True, True, False]
    assert found.masks.shape == (3, 8, 8)
    assert found.masks[0].sum() == 0
    assert found.masks[1][1].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    # A crack one pixel wide fills an eighth of its places; it counts half.
    assert found.masks[1][5].tolist() == pytest.approx([0.5] * 8)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", part(1))
    image.write_bytes(image.read_bytes()[:30])
    with pytest.raises(DataError, match=r"a\.png is not a picture"):
        load_pictures(dataset((image, 0.0)), 64, 64, 1, tmp_path / "cache")


@given(st.integers(0, 2**32 - 1))
def test_the_weight_of_the_tail_never_makes_the_cloud_worse_than_the_tail(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.arange(40) % 2 == 0
    head, tail = rng.uniform(0, 1, (2, 40))
    weight, combined = weigh(head, tail, labels)
    assert weight in TAIL_WEIGHTS
    assert auroc(combined, labels) >= auroc(tail, labels)


def test_a_perfect_tail_is_trusted_alone() -> None:
    labels = np.arange(40) % 2 == 0
    tail = np.where(labels, 0.9, 0.1)
    weight, combined = weigh(np.full(40, 0.5), tail, labels)
    assert weight == 1.0
    np.testing.assert_array_equal(combined, tail)
