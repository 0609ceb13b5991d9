"""A camera on whose pictures nothing can be seen is a fault where it is unusual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.camera.base import CameraEvent, CameraState, MissedFrame
from edge.camera.blank_detection import ARMED_AFTER, DARK, FLAT, BlankGuard, blank
from edge.camera.scripted import ScriptedCamera
from shared.contracts import Frame
from tests.bundles import GOOD, picture

AFTER = 2
Pixels = NDArray[np.uint8]
NOISE = np.random.default_rng(0)


def noisy(mean: float, spread: float = 1.5, shape: tuple[int, ...] = (96, 128)) -> Pixels:
    """A sensor's picture of nothing."""
    return np.asarray(NOISE.normal(mean, spread, shape).clip(0, 255), np.uint8)


def frame(part: int, pixels: Pixels) -> Frame:
    return Frame(pixels, part, float(part), part + 0.5, f"part {part}")


def events(pictures: Sequence[Pixels]) -> list[CameraEvent]:
    shown: list[CameraEvent] = [frame(n, pixels) for n, pixels in enumerate(pictures, 1)]
    return list(BlankGuard(ScriptedCamera(shown), AFTER).frames(1, 0.5))


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (noisy(5.0), "dark"),
        (noisy(2.0, shape=(40, 3000, 3)), "dark"),
        (np.full((64, 64), 255, np.uint8), "without any contrast"),
        (np.full((1, 1), 90, np.uint8), "without any contrast"),
        (noisy(200.0), ""),
        (picture(GOOD), ""),
        (picture(GOOD, height=301, width=4096), ""),
    ],
)
def test_pictures_on_which_nothing_can_be_seen_are_known(pixels: Pixels, why: str) -> None:
    assert blank(pixels) == why


@given(st.integers(0, 255), st.integers(FLAT + 1, 255), st.integers(2, 400), st.integers(2, 400))
def test_a_picture_with_two_halves_is_never_blank(
    low: int, more: int, height: int, width: int
) -> None:
    high = min(255, max(low + more, DARK))
    pixels = np.full((height, width), low, np.uint8)
    pixels[:, width // 2 :] = high
    assert (blank(pixels) == "") == (high - low > FLAT)


def test_a_lens_that_is_covered_costs_parts_until_it_is_free_again() -> None:
    usual = [picture(GOOD)] * ARMED_AFTER
    got = events([*usual, *[noisy(4.0)] * 5, picture(GOOD)])
    seen = [isinstance(event, Frame) for event in got]
    assert seen == [True] * (ARMED_AFTER + AFTER) + [False] * 3 + [True]
    missed = got[ARMED_AFTER + AFTER]
    assert isinstance(missed, MissedFrame)
    assert f"the picture is dark since part {ARMED_AFTER + 1}" in str(missed.error)


def test_while_it_lasts_the_camera_says_so() -> None:
    pictures = [*[picture(GOOD)] * ARMED_AFTER, *[noisy(4.0)] * 5, picture(GOOD)]
    shown: list[CameraEvent] = [frame(n, pixels) for n, pixels in enumerate(pictures, 1)]
    guard = BlankGuard(ScriptedCamera(shown), AFTER)
    states = [guard.state for _ in guard.frames(1, 0.5)]
    told = CameraState("blank", f"the picture is dark since part {ARMED_AFTER + 1}")
    assert states[ARMED_AFTER + AFTER :] == [told, told, told, CameraState("live")]
    assert {*states[: ARMED_AFTER + AFTER]} == {CameraState("live")}


def test_where_black_parts_are_usual_they_are_no_fault() -> None:
    pictures = [noisy(4.0) if n % 10 == 0 else picture(GOOD) for n in range(300)]
    got = events([*pictures, *[noisy(4.0)] * 20])
    assert all(isinstance(event, Frame) for event in got)
