"""What is cut out of a picture, and how maps and masks follow it there and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from shared.features.preprocessing import coarse_mask, prepare
from shared.features.straightening import onto_picture, straightened

HEIGHT, WIDTH = 120, 200
PICTURE = np.random.default_rng(0).integers(1, 256, (HEIGHT, WIDTH), np.uint8)
QUADRANGLE = ((0.2, 0.1), (0.8, 0.25), (0.75, 0.9), (0.15, 0.8))
MOVES: dict[str, dict[str, Any]] = {
    "crop": {"crop": (0.25, 0.2, 0.75, 0.9)},
    "turned": {"turn": 90},
    "crop, turned": {"crop": (0.1, 0.2, 0.7, 0.9), "turn": 270},
    "upside down": {"turn": 180},
    "corners": {"corners": QUADRANGLE},
    "corners, turned": {"corners": QUADRANGLE, "turn": 90},
}


def settings(**said: Any) -> PixelSettings:
    return PixelSettings.model_validate(said)


def test_nothing_said_is_nothing_done() -> None:
    assert straightened(PICTURE, AS_IT_IS) is PICTURE
    found = np.ones((4, 5), np.float32)
    assert onto_picture(found, AS_IT_IS) is found


def test_a_crop_is_the_pixels_that_lie_in_it() -> None:
    found = straightened(PICTURE, settings(crop=(0.25, 0.5, 0.75, 1.0)))
    np.testing.assert_array_equal(found, PICTURE[60:, 50:150])


@pytest.mark.parametrize(("turn", "times"), [(90, -1), (180, 2), (270, 1)])
def test_turns_go_clockwise(turn: int, times: int) -> None:
    np.testing.assert_array_equal(
        straightened(PICTURE, settings(turn=turn)), np.rot90(PICTURE, times)
    )


def test_corners_that_are_a_crop_give_that_crop() -> None:
    left, top, right, bottom = 0.25, 0.2, 0.75, 0.9
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    np.testing.assert_array_equal(
        straightened(PICTURE, settings(corners=corners)),
        straightened(PICTURE, settings(crop=(left, top, right, bottom))),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_ignored_or_outside_the_region_changes_nothing(channels: int) -> None:
    square = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[32:88, 52:148] = True
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[28:92, 48:152] = False
    whole = PICTURE if channels == 1 else np.dstack([PICTURE] * 3)
    for said, hidden in (({"ignored": [square]}, inside), ({"region": [square]}, outside)):
        harmed = whole.copy()
        harmed[hidden] = 255 - harmed[hidden]
        seen = prepare(whole, 64, 96, channels, settings(**said))
        np.testing.assert_array_equal(seen, prepare(harmed, 64, 96, channels, settings(**said)))
        assert not np.array_equal(seen, prepare(whole, 64, 96, channels))
        # A defect there is none that the network could have seen.
        assert coarse_mask(hidden, 64, 96, settings(**said)).max() == 0


@pytest.mark.parametrize("said", MOVES.values(), ids=MOVES.keys())
@given(across=st.floats(0.35, 0.65), down=st.floats(0.35, 0.65))
def test_a_place_goes_to_the_input_with_its_mask_and_comes_back_with_the_map(
    said: dict[str, Any], across: float, down: float
) -> None:
    chosen = settings(**said)
    mask = np.zeros((240, 400), bool)
    row, column = round(down * 240), round(across * 400)
    mask[row - 6 : row + 6, column - 6 : column + 6] = True
    marked = coarse_mask(mask, 128, 128, chosen)
    seen = prepare(mask.astype(np.uint8) * 255, 128, 128, 1, chosen)[0]
    brightest = np.argwhere(seen > 127).mean(axis=0) / 8
    heaviest = _middle(marked)
    assert np.abs(brightest - heaviest).max() < 1
    back = onto_picture(marked, chosen)
    assert math.dist(_middle(back) / back.shape, (down, across)) < 0.05


def _middle(found: NDArray[np.float32]) -> NDArray[np.float64]:
    """The centre of what a map marks, in places from its corner."""
    places = np.argwhere(found > 0)
    return np.asarray(np.average(places, axis=0, weights=found[found > 0]) + 0.5)


def test_a_map_says_nothing_of_what_the_network_did_not_see() -> None:
    back = onto_picture(np.ones((8, 8), np.float32), settings(crop=(0.5, 0.5, 1, 1)))
    assert back.shape == (16, 16)
    assert back[:7].max() == back[:, :7].max() == 0
    assert back[9:15, 9:15].min() == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"crop": (0.5, 0, 0.5, 1)}, "crop leaves nothing"),
        ({"crop": (0, 0, 1, 1), "corners": QUADRANGLE}, "crop and corners"),
        ({"corners": QUADRANGLE[::-1]}, "no four corners in the order"),
        ({"corners": ((0, 0), (1, 0), (0.1, 0.1), (0, 1))}, "no four corners"),
        ({"crop": (0, 0, 2, 1)}, "less than or equal to 1"),
        ({"region": [((0, 0), (1, 1))]}, "at least 3"),
        ({"depth": 9}, "depth"),
        ({"depth": 12, "white": 3.0}, "white is for float"),
        ({"turn": 45}, "turn"),
    ],
)
def test_settings_that_make_no_sense_are_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings(**said)
