"""What is done to training pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.splitnet.augmentation import Augmentation, augment
from tests.cloud.datasets.makers import part

pytestmark = pytest.mark.torch


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
