"""What lamp, lens, mount and sensor do to a picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shared.features import optics
from shared.features.optics import Pixels
from tests.cloud.datasets.makers import part

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
pictures = st.one_of(
    arrays.arrays(np.uint8, shapes),
    arrays.arrays(np.uint8, shapes.map(lambda shape: (*shape, 3))),
)


@given(pictures)
@settings(max_examples=30)
def test_nothing_is_done_to_a_picture_by_none_of_it(picture: Pixels) -> None:
    same = [
        optics.strayed(picture, 0.0),
        optics.bent(picture, 1.0),
        optics.unevenly_lit(picture, 0.0, 1),
        optics.displaced(picture),
        optics.noisy(picture, 1e9, 0.0, (1,)),
        optics.scratched(picture, 0, 1),
    ]
    for other in same:
        assert np.array_equal(picture, other)
        assert other is not picture


@given(pictures, st.integers(0, 2**31))
@settings(max_examples=30)
def test_the_same_seed_ends_the_same_and_a_picture_stays_one(picture: Pixels, seed: int) -> None:
    def done() -> list[Pixels]:
        return [
            optics.strayed(picture, -300.0),
            optics.bent(picture, 3.0),
            optics.unevenly_lit(picture, 1.0, seed),
            optics.displaced(picture, (3.0, -2.0), 10.0, 1.3),
            optics.noisy(picture, 50.0, 30.0, (seed,)),
            optics.scratched(picture, 9, seed),
        ]

    for one, other in zip(done(), done(), strict=True):
        assert one.dtype == np.uint8
        assert one.shape == picture.shape
        assert np.array_equal(one, other)


def test_stray_light_adds_levels_and_ends_in_white() -> None:
    assert optics.strayed(np.array([[0, 100, 250]], np.uint8), 16).tolist() == [[16, 116, 255]]


def test_a_response_curve_keeps_black_and_white() -> None:
    bent = optics.bent(np.array([[0, 128, 255]], np.uint8), 2.0)
    assert bent.tolist() == [[0, round(255 * (128 / 255) ** 2), 255]]


def test_one_side_is_darker_by_as_much_as_is_said() -> None:
    lit = optics.unevenly_lit(np.full((60, 60), 200, np.uint8), 0.5, 3)
    assert lit.max() == 200
    assert lit.min() == 100
    # An even slope: the middle has lost half as much.
    assert lit[30, 30] == pytest.approx(150, abs=3)


def test_a_shift_goes_right_and_down() -> None:
    picture = np.zeros((20, 20), np.uint8)
    picture[5, 6] = 255
    moved = optics.displaced(picture, (3.0, 4.0))
    assert np.argwhere(moved == 255).tolist() == [[9, 9]]


def test_a_turn_and_a_scale_leave_the_middle_where_it_is() -> None:
    picture = np.zeros((41, 41), np.uint8)
    picture[20, 20] = picture[20, 30] = 255
    turned = optics.displaced(picture, degrees=90)
    assert turned[20, 20] == 255
    assert turned[10, 20] == 255
    assert optics.displaced(picture, scale=1.5)[20, 35] > 100


@pytest.mark.parametrize(("white", "read"), [(1000.0, 0.0), (1000.0, 40.0), (200.0, 10.0)])
def test_noise_has_the_spread_that_the_model_says(white: float, read: float) -> None:
    grey = 100
    drawn = optics.noisy(np.full((300, 300), grey, np.uint8), white, read, (7,))
    electrons = grey * white / 255
    wanted = np.sqrt(electrons + read**2) * 255 / white
    # Rounding to grey levels adds a twelfth to the variance.
    assert drawn.std() == pytest.approx(np.sqrt(wanted**2 + 1 / 12), rel=0.02)
    assert drawn.mean() == pytest.approx(grey, abs=0.3)


def test_every_colour_has_noise_of_its_own() -> None:
    drawn = optics.noisy(np.full((60, 60, 3), 100, np.uint8), 200, 0, (1,)).astype(float)
    assert abs(np.corrcoef(drawn[..., 0].ravel(), drawn[..., 1].ravel())[0, 1]) < 0.1


def test_scratches_are_bright_and_more_of_them_hold_the_fewer() -> None:
    picture = np.full((80, 120), 60, np.uint8)
    few, many = optics.scratched(picture, 2, 5), optics.scratched(picture, 6, 5)
    assert (few > 60).any()
    assert (few >= 60).all()
    assert (many >= few).all()
    assert not np.array_equal(optics.scratched(picture, 2, 6), few)


def test_noise_differs_from_picture_to_picture() -> None:
    one = optics.noisy(part(1), 500, 10, (3, 1))
    assert not np.array_equal(one, optics.noisy(part(1), 500, 10, (3, 2)))
