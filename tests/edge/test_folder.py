from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.camera.base import CameraEvent, MissedFrame
from edge.camera.folder import FolderCamera, FolderSettings
from shared.clock import ManualClock, ManualEvent, SystemClock
from shared.contracts import Frame
from shared.errors import CameraError
from tests.bundles import picture

COUNT = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(COUNT):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(10 * (index + 1)))
    (tmp_path / "notes.md").write_text("not a picture")
    return tmp_path


def play(path: Path, *, first_part: int = 1, **options: Any) -> list[CameraEvent]:
    camera = FolderCamera(FolderSettings(path=path, **options), SystemClock())
    events = list(camera.frames(first_part, 0.5))
    assert camera.state.status == "ended"
    return events


def parts(events: list[CameraEvent]) -> list[tuple[int, str]]:
    return [(event.part, event.source) for event in events]


def test_pictures_come_once_by_name_with_their_own_bytes(folder: Path) -> None:
    events = play(folder)
    assert parts(events) == [(index + 1, f"{index}.png") for index in range(COUNT)]
    first = events[0]
    assert isinstance(first, Frame)
    assert first.encoded == (folder / "0.png").read_bytes()
    assert np.array_equal(first.pixels, picture(10))
    assert first.deadline == first.triggered + 0.5


def test_a_restart_goes_on_with_the_next_part_and_its_picture(folder: Path) -> None:
    assert parts(play(folder, first_part=4)) == [(4, "3.png"), (5, "4.png")]
    assert play(folder, first_part=6) == []


def test_a_limit_counts_the_parts_of_earlier_starts_too(folder: Path) -> None:
    events = play(folder, first_part=6, loop=True, limit=7)
    assert parts(events) == [(6, "0.png"), (7, "1.png")]


def test_a_name_that_no_file_can_have_costs_its_own_part(folder: Path) -> None:
    listed = folder / "parts.txt"
    listed.write_text("0.png\nodd\0name.png\n1.png\n")
    first, odd, last = play(listed)
    assert isinstance(first, Frame)
    assert isinstance(odd, MissedFrame)
    assert "can't be decoded (ValueError: embedded null byte)" in odd.error.message
    assert isinstance(last, Frame)


def test_parts_are_numbered_from_where_the_user_says(folder: Path) -> None:
    assert parts(play(folder, start_part=100, limit=2)) == [(100, "0.png"), (101, "1.png")]


def test_a_list_names_pictures_relative_to_itself(folder: Path) -> None:
    listed = folder / "list.txt"
    listed.write_text("# two of them\n3.png\n\n1.png\n")
    assert parts(play(listed)) == [(1, "3.png"), (2, "1.png")]


@pytest.mark.parametrize("name", ["x.png", "x.jpg"])
def test_a_picture_that_is_cut_off_still_is_a_part(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / name), picture(99, height=200, width=200))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (event,) = play(tmp_path)
    assert isinstance(event, MissedFrame)
    assert "is cut off" in event.error.message
    assert event.error.fix


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"hello", "is not a picture"), (None, "can't be read")],
)
def test_a_picture_that_is_missing_or_none_still_is_a_part(
    folder: Path, content: bytes | None, said: str
) -> None:
    listed = folder / "list.txt"
    listed.write_text("0.png\nbad.png\n1.png\n")
    if content is not None:
        (folder / "bad.png").write_bytes(content)
    events = play(listed)
    assert [event.part for event in events] == [1, 2, 3]
    missed = events[1]
    assert isinstance(missed, MissedFrame)
    assert said in missed.error.message


@pytest.mark.parametrize(
    ("colour", "shape"), [("as_is", (64, 64)), ("grey", (64, 64)), ("colour", (64, 64, 3))]
)
def test_a_grey_picture_is_decoded_as_asked(
    folder: Path, colour: str, shape: tuple[int, ...]
) -> None:
    event = play(folder, colour=colour, limit=1)[0]
    assert isinstance(event, Frame)
    assert event.pixels.shape == shape


def test_a_colour_picture_stays_in_colour(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((8, 8, 3), np.uint8) + np.uint8(7))
    event = play(tmp_path)[0]
    assert isinstance(event, Frame)
    assert event.pixels.shape == (8, 8, 3)


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="holds no pictures"):
        FolderCamera(FolderSettings(path=tmp_path), SystemClock()).probe()
    with pytest.raises(CameraError, match=r"set camera\.path to a folder"):
        FolderCamera(FolderSettings(path=tmp_path / "none"), SystemClock()).probe()


def test_a_stopped_camera_ends_soon(folder: Path) -> None:
    camera = FolderCamera(FolderSettings(path=folder, loop=True), SystemClock())
    events = camera.frames(1, 0.5)
    next(events)
    camera.stop()
    assert sum(1 for _ in events) <= 1


def test_a_rate_spaces_the_triggers(folder: Path) -> None:
    clock = ManualClock()
    settings = FolderSettings(path=folder, rate=200, limit=4)
    events = list(FolderCamera(settings, clock, ManualEvent(clock)).frames(1, 0.5))
    assert np.diff([event.triggered for event in events]) == pytest.approx([0.005] * 3)
