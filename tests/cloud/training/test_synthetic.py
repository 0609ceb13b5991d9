"""Made-up defects, and what else is done to training pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.datasets.pictures import PictureArrays
from cloud.training.defect_synthesis import add_defects, cuttings, draw, lay
from shared.splitnet.augmentation import Augmentation, augment

pytestmark = pytest.mark.torch

STILL = Augmentation(exposure=0, turn=0, shift=0, scale=0, blur=0, synthetic=0)


def one_defective(size: int = 64) -> PictureArrays:
    """A grey picture with a dark bar whose mask is known, and a good one."""
    inputs = np.full((2, 1, size, size), 120, np.uint8)
    inputs[0, 0, 18:22, 16:40] = 30
    masks = np.zeros((2, size // 8, size // 8), np.float32)
    masks[0, 2, 2:5] = 1
    return PictureArrays(inputs, masks, np.ones(2, bool))


def plain() -> tuple[np.ndarray, np.ndarray]:
    return np.full((1, 64, 64), 180, np.float32), np.zeros((8, 8), np.float32)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_what_is_laid_on_a_part_is_marked_and_the_rest_is_as_before(seed: int) -> None:
    ((cutting, kind),) = cuttings(one_defective(), np.array([3, -1]))
    assert kind == 3
    picture, mask = plain()
    changed, marked = lay(picture, mask, cutting, np.random.default_rng(seed))
    assert marked.sum() == pytest.approx(cutting.mask.sum())
    rows, columns = np.nonzero(marked)
    around = np.zeros((8, 8), bool)
    top, left = max(0, rows.min() - 1), max(0, columns.min() - 1)
    around[top : rows.max() + 2, left : columns.max() + 2] = True
    outside = ~np.kron(around, np.ones((8, 8), bool))
    assert (changed[0][outside] == 180).all()
    assert changed.min() < 150
    assert (picture == 180).all()
    assert not mask.any()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_what_is_drawn_is_marked_where_it_shows(seed: int) -> None:
    picture, mask = plain()
    changed, marked = draw(picture, mask, np.random.default_rng(seed))
    shows = np.abs(changed[0] - 180) > 20
    touched = shows.reshape(8, 8, 8, 8).any(axis=(1, 3))
    assert (marked[touched] > 0).all()
    assert 0 <= marked.min() <= marked.max() <= 1
    assert 0 <= changed.min() <= changed.max() <= 255


def test_a_defect_that_fills_the_picture_is_not_cut_out() -> None:
    pictures = one_defective()
    pictures.masks[0] = 1
    assert cuttings(pictures, np.array([0, -1])) == []


def test_chosen_pictures_alone_get_a_defect_and_its_kind() -> None:
    cut = cuttings(one_defective(), np.array([2, -1]))
    picture = np.full((40, 1, 64, 64), 180, np.float32)
    mask = np.zeros((40, 8, 8), np.float32)
    chosen = np.arange(40) % 2 == 0
    kinds = add_defects(picture, mask, chosen, cut, np.random.default_rng(0))
    assert set(kinds[chosen].tolist()) == {2, -1}
    assert (kinds[~chosen] == -1).all()
    assert (picture[~chosen] == 180).all()
    assert (mask.any(axis=(1, 2)) == chosen).all()


def test_a_picture_and_its_mask_move_together() -> None:
    rng = torch.Generator().manual_seed(0)
    picture, mask = torch.zeros(32, 1, 64, 64), torch.zeros(32, 8, 8)
    picture[:, 0, 8:24, 40:56] = 200
    mask[:, 1:3, 5:7] = 1
    moved, moved_mask = augment(picture, mask, STILL, rng)
    shares = moved.reshape(32, 8, 8, 8, 8).mean(dim=(2, 4)) / 200
    torch.testing.assert_close(shares, moved_mask, atol=0.02, rtol=0)
    assert len({tuple(one.flatten().tolist()) for one in (moved_mask > 0.5)}) == 4


def test_blurring_softens_and_keeps_the_shade() -> None:
    rng = torch.Generator().manual_seed(0)
    sharp = (torch.arange(64) % 2).float() * 200
    picture = sharp.expand(4, 1, 64, 64).contiguous()
    blurred, _ = augment(picture, torch.zeros(4, 8, 8), Augmentation(0, 0, 0, 0, 1.0, 0), rng)
    assert blurred.std() < 0.2 * picture.std()
    assert float(blurred.mean()) == pytest.approx(float(picture.mean()), rel=0.02)
