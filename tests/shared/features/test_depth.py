"""What 8 bits are made of pictures of other depths, and of raw mosaics."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shared.features.depth import WrongPixels, eight_bit
from shared.features.pixel_settings import AS_IT_IS, Bayer, Depth, PixelSettings

DEPTHS: list[Depth] = [8, 10, 12, 14, 16]
PLACES = {"rg": (0, 0), "gr": (0, 1), "gb": (1, 0), "bg": (1, 1)}


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_value_of_a_depth_becomes_the_nearest_grey_level(depth: Depth) -> None:
    white = (1 << int(depth)) - 1
    values = np.arange(white + 1, dtype=np.uint16).reshape(-1, 256 if white > 255 else 16)
    exact = values.astype(np.float64) * 255 / white
    np.testing.assert_array_equal(eight_bit(values, PixelSettings(depth=depth)), np.rint(exact))
    # No value lies so near to the middle of two that machines could round it differently.
    assert np.abs(exact % 1 - 0.5).min() > 5e-5


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)),
    st.sampled_from([10, 12, 14, 16]),
)
def test_8_bits_that_were_stored_deeper_come_back_within_a_level(
    pixels: NDArray[np.uint8], depth: Any
) -> None:
    deep = pixels.astype(np.uint16) << (depth - 8)
    found = eight_bit(deep, PixelSettings(depth=depth)).astype(int)
    assert np.abs(found - pixels).max() <= 1


def test_8_bits_are_what_they_were_and_the_same_array() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert eight_bit(pixels, AS_IT_IS) is pixels
    assert eight_bit(pixels, PixelSettings(depth=8)) is pixels


def test_one_bit_is_black_and_white() -> None:
    assert eight_bit(np.array([[True, False]]), AS_IT_IS).tolist() == [[255, 0]]


def test_a_bundle_that_says_nothing_takes_the_upper_8_of_16_bits_and_no_other_depth() -> None:
    full = np.array([[0, 255, 40_000, 65_535]], np.uint16)
    assert eight_bit(full, AS_IT_IS).tolist() == [[0, 0, 156, 255]]
    for most in (200, 1023, 4095, 16_383):
        with pytest.raises(WrongPixels, match=f"values up to {most} may be any depth"):
            eight_bit(np.array([[0, most]], np.uint16), AS_IT_IS)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((4, 4, 4), np.uint8), "uint8, 4 × 4 × 4"),
        (np.zeros(4, np.uint8), "uint8, 4"),
        (np.zeros((0, 4), np.uint8), "uint8, 0 × 4"),
        (np.array([[-1, 5]], np.int16), "with the value -1"),
        (np.array([[1j]]), "complex128"),
        (np.array([["a"]]), "wanted is uint8"),
    ],
    ids=["four channels", "a line", "nothing", "negative", "complex", "text"],
)
def test_what_no_setting_fits_is_told(pixels: NDArray[Any], said: str) -> None:
    with pytest.raises(WrongPixels, match=said):
        eight_bit(pixels, AS_IT_IS)


@pytest.mark.parametrize("pattern", ["rg", "gr", "bg", "gb"])
def test_a_mosaic_becomes_the_colours_that_made_it(pattern: Bayer) -> None:
    blue, green, red = 40, 120, 200
    mosaic = np.full((16, 16), green, np.uint16)
    row, column = PLACES[pattern]
    mosaic[row::2, column::2] = red
    mosaic[1 - row :: 2, 1 - column :: 2] = blue
    settings = PixelSettings(depth=12, bayer=pattern)
    found = eight_bit(mosaic << 4, settings)[4:-4, 4:-4]
    np.testing.assert_allclose(found.reshape(-1, 3).mean(axis=0), [blue, green, red], atol=2)
    as_plain = cv2.cvtColor(eight_bit(mosaic << 4, PixelSettings(depth=12)), cv2.COLOR_GRAY2BGR)
    assert np.abs(as_plain[4:-4, 4:-4].astype(int) - found).max() > 30
