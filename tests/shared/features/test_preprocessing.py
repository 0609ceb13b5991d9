"""What a network still sees of a defect when pictures have another shape than its input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shared.features.preprocessing import coarse_mask, prepare

SIDE = 224
TALL, LONG = 160, 4096
PLACES = np.linspace(0, LONG - 8, 100).astype(int)


def strip(at: int) -> np.ndarray:
    """A long even surface with a scratch across it, 8 px wide."""
    pixels = np.full((TALL, LONG), 180, np.uint8)
    pixels[:, at : at + 8] -= 130
    return pixels


@pytest.mark.parametrize("upright", [False, True])
def test_a_scratch_is_seen_wherever_it_lies_on_a_long_strip(upright: bool) -> None:
    depths = []
    for at in PLACES:
        pixels = strip(at).T if upright else strip(at)
        found = prepare(np.ascontiguousarray(pixels), SIDE, SIDE, 1)
        depths.append(180 - int(found.min()))
    # 8 of 18.3 px that become one, or half of that in each of two.
    assert min(depths) >= 130 * 8 / (LONG / SIDE) / 2 - 1


def test_the_mask_of_such_a_scratch_marks_its_places_alike_everywhere() -> None:
    sums = []
    for at in PLACES:
        found = coarse_mask(strip(at) < 180, SIDE, SIDE)
        assert (found.max(axis=0) == found.min(axis=0)).all()
        sums.append(float(found[0].sum()))
    assert min(sums) > 0
    assert max(sums) / min(sums) < 1.5


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((300, 300), cv2.INTER_AREA),
        ((224, 500), cv2.INTER_AREA),
        ((100, 120), cv2.INTER_LINEAR),
        ((100, 224), cv2.INTER_LINEAR),
    ],
)
def test_where_no_axis_shrinks_alone_nothing_has_changed(shape: tuple[int, int], how: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    wanted = cv2.resize(pixels, (SIDE, SIDE), interpolation=how)
    np.testing.assert_array_equal(prepare(pixels, SIDE, SIDE, 1)[0], wanted)
