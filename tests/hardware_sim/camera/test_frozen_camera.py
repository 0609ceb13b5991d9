"""A camera whose picture stands still, as the agent sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.box import open_watched_camera
from edge.camera.base import CameraEvent, CameraState, MissedFrame
from edge.camera.folder import FolderCamera
from edge.camera.freeze_detection import FrozenGuard
from edge.camera.scripted import ScriptedCamera
from edge.configuration.settings import EdgeSettings, settings_model
from hardware_sim.camera.faults import CameraFaults, Freeze
from hardware_sim.line.camera import LineCamera
from shared.clock import ManualClock
from shared.contracts import Frame
from shared.errors import CameraError


def frame(part: int, brightness: int) -> Frame:
    pixels = np.full((6, 8), brightness, np.uint8)
    return Frame(pixels, part, float(part), part + 0.5, f"part {part}")


def seen(events: list[CameraEvent], after: int) -> list[bool]:
    """Of each part, whether its picture counts."""
    guard = FrozenGuard(ScriptedCamera(events), after)
    return [isinstance(event, Frame) for event in guard.frames(1, 0.5)]


def settings(folder: Path, **changed: object) -> EdgeSettings:
    values = {
        "site": "plant",
        "line": "line",
        "device": "box",
        "bundle": folder,
        "camera": {"kind": "line", "socket": folder / "line.sock"},
        "actuator": {"kind": "log"},
    }
    return settings_model().model_validate(values | changed)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(1, 4))
def test_a_part_counts_as_seen_unless_too_many_before_it_looked_the_same(
    shades: list[int], after: int
) -> None:
    events: list[CameraEvent] = [frame(n, shade) for n, shade in enumerate(shades, 1)]
    expected = [
        len({*shades[max(0, n - after) : n + 1]}) > 1 or n < after for n in range(len(shades))
    ]
    assert seen(events, after) == expected


def test_parts_under_a_frozen_camera_are_unseen_until_its_picture_moves() -> None:
    faults, events = CameraFaults(seed=0), []
    for part in range(1, 9):
        if part == 3:
            faults.set(Freeze(), at=3.0)
        if part == 7:
            faults.clear("freeze")
        (shot,) = faults.through(np.full((6, 8), part, np.uint8), part, float(part))
        events.append(Frame(shot.pixels, part, float(part), part + 0.5, f"part {part}"))
    guard = FrozenGuard(ScriptedCamera(events), 2)
    states, missed = [], []
    for event in guard.frames(1, 0.5):
        states.append(guard.state.status)
        if isinstance(event, MissedFrame):
            missed.append(event)
    assert states == ["live"] * 3 + ["frozen"] * 3 + ["live"] * 2
    assert [(one.part, one.triggered, one.deadline) for one in missed] == [
        (4, 4.0, 4.5),
        (5, 5.0, 5.5),
        (6, 6.0, 6.5),
    ]
    assert all(one.source == "part 2" for one in missed)
    assert "the same picture since part 2" in str(missed[0].error)


def test_a_camera_that_uses_its_buffer_again_is_not_frozen() -> None:
    buffer = np.zeros((6, 8), np.uint8)

    class Reusing(ScriptedCamera):
        def __init__(self) -> None:
            super().__init__(self._filled(part) for part in range(1, 6))

        def _filled(self, part: int) -> Frame:
            buffer[:] = part
            return Frame(buffer, part, float(part), part + 0.5)

    assert all(isinstance(event, Frame) for event in FrozenGuard(Reusing(), 1).frames(1, 0.5))


def test_parts_without_a_picture_pass_through_and_do_not_thaw_a_camera() -> None:
    gone = MissedFrame(3, 3.0, 3.5, "cam", CameraError("the frame was dropped", fix="wait"))
    assert seen([frame(1, 7), frame(2, 7), gone, frame(4, 7), frame(5, 8)], 2) == [
        True, True, False, False, True,
    ]  # fmt: skip


def test_what_is_wrong_with_the_camera_itself_comes_before_a_picture_that_stands_still() -> None:
    camera = ScriptedCamera([frame(1, 7), frame(2, 7)])
    guard = FrozenGuard(camera, 1)
    list(guard.frames(1, 0.5))
    assert guard.state == CameraState("ended")
    camera.state = CameraState("retrying", "no cable")
    assert guard.state == CameraState("retrying", "no cable")


def test_a_box_guards_its_camera_but_not_a_folder_that_may_repeat_itself(tmp_path: Path) -> None:
    clock = ManualClock()
    assert isinstance(open_watched_camera(settings(tmp_path), clock), FrozenGuard)
    never = settings(tmp_path, frozen_after=0)
    assert isinstance(open_watched_camera(never, clock), LineCamera)
    folder = settings(tmp_path, camera={"kind": "folder", "path": tmp_path})
    assert isinstance(open_watched_camera(folder, clock), FolderCamera)
