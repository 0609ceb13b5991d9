"""Shapes → masks."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as reference

from cloud.datasets.label_fault import LabelFault
from cloud.datasets.outlines import dots, ellipse, polygon, rectangle, strip, turned

SIZE = HEIGHT, WIDTH = 48, 64
corners = st.tuples(st.floats(0, WIDTH, width=32), st.floats(0, HEIGHT, width=32))


@given(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.data())
def test_a_box_marks_as_many_pixels_as_its_sides_say(
    left: int, top: int, data: st.DataObject
) -> None:
    width = data.draw(st.integers(1, WIDTH - left))
    height = data.draw(st.integers(1, HEIGHT - top))
    pixels = rectangle(left, top, width, height, SIZE).pixels(*SIZE)
    assert pixels.sum() == width * height
    assert pixels[top : top + height, left : left + width].all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(st.lists(corners, min_size=3, max_size=8, unique=True))
def test_a_polygon_differs_from_the_references_runs_along_its_border_alone(
    points: list[tuple[float, float]],
) -> None:
    try:
        pixels = polygon(points, SIZE).pixels(*SIZE).astype(np.uint8)
    except LabelFault:
        return
    flat = [value for point in points for value in point]
    other = reference.decode(reference.merge(reference.frPyObjects([flat], *SIZE)))
    canvas = np.zeros(SIZE, np.uint8)
    line = np.round(np.asarray(points) * 16 - 8).astype(np.int32)
    cv2.polylines(canvas, [line], True, 1, thickness=3, shift=4)
    border = cv2.dilate(canvas, np.ones((3, 3), np.uint8))
    assert not ((pixels != other) & (border == 0)).any()


@given(st.floats(1, 40), st.floats(1, 60), st.floats(0.01, 0.9))
def test_the_thinnest_scratch_has_pixels(top: float, right: float, height: float) -> None:
    points = [(1.0, top), (1.0 + right, top), (1.0 + right, top + height), (1.0, top + height)]
    assert polygon(points, SIZE).pixels(*SIZE).any()


def test_lines_and_points_are_one_pixel_wide() -> None:
    assert strip([(1, 1), (11, 1)], SIZE).pixels(*SIZE).sum() == 11
    open_line = strip([(1, 1), (21, 1), (21, 21)], SIZE).pixels(*SIZE)
    assert open_line.sum() == 41, "a line of three points is not filled"
    assert dots([(5, 5), (7, 7)], SIZE).pixels(*SIZE).sum() == 2


@given(corners, st.floats(-720, 720))
def test_turning_keeps_the_distance(point: tuple[float, float], angle: float) -> None:
    (moved,) = turned([point], (10, 10), angle)
    assert np.hypot(moved[0] - 10, moved[1] - 10) == pytest.approx(
        np.hypot(point[0] - 10, point[1] - 10), abs=1e-6
    )


def test_what_turns_or_is_round_may_leave_the_picture_but_for_its_middle() -> None:
    assert ellipse((1, 1), (10, 5), SIZE).pixels(*SIZE).any()
    assert rectangle(0, 0, 20, 10, SIZE, angle=30).pixels(*SIZE).any()
    with pytest.raises(LabelFault, match=r"\(80, 1\) lies outside"):
        ellipse((80, 1), (30, 5), SIZE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    draws: list[Callable[[], object]] = [
        lambda: polygon([(1, 1), (9, 1), (value, 9)], SIZE),
        lambda: rectangle(1, 1, value, 9, SIZE),
        lambda: rectangle(value, 1, 9, 9, SIZE),
        lambda: ellipse((9, 9), (value, 3), SIZE),
        lambda: ellipse((9, 9), (3, 3), SIZE, angle=value),
        lambda: strip([(value, 1), (2, 2)], SIZE),
    ]
    for draw in draws:
        with pytest.raises(LabelFault, match="no finite number"):
            draw()


@pytest.mark.parametrize("beyond", [0.0, 1.0])
def test_a_pixel_beyond_the_border_is_rounding(beyond: float) -> None:
    assert rectangle(60, 40, 4 + beyond, 8 + beyond, SIZE).pixels(*SIZE).sum() == 32
    with pytest.raises(LabelFault, match="lies outside"):
        rectangle(60, 40, 4 + beyond + 1.1, 8, SIZE)
