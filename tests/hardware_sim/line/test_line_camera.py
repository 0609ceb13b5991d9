"""The line's socket, with a real camera and real controls at its other end."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.camera.base import CAMERAS, CameraEvent, MissedFrame
from hardware_sim.camera.faults import CameraFaults, Defocus, Disconnect, Drops, Duplicates, Shot
from hardware_sim.line.camera import KIND, MAX_GAP, LineCamera, LineCameraSettings
from hardware_sim.line.control import LineControl
from hardware_sim.line.line import Sight
from hardware_sim.line.messages import (
    Beat,
    CommandDone,
    Hello,
    Picture,
    StateQuery,
    WatchCamera,
    from_line,
    to_line,
)
from hardware_sim.line.server import UNREAD, LineServer
from hardware_sim.processes.unix_socket import (
    MAX_BODY,
    MAX_HEADER,
    RequestRefused,
    receive,
    send,
)
from shared.clock import ManualClock, SystemClock
from shared.contracts import Frame
from shared.errors import CameraError, ProcessError, SettingsError, WireError
from tests.hardware_sim.line.rigs import LineRig
from tests.support.waiting import wait_until

WAIT_S = 20.0


class Served:
    """A line whose parts the test hands over one by one, and its server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rig = LineRig()
        self.server = LineServer(path, SystemClock())
        self.server.start(self.rig.line)

    def show(self, part: int, *, brightness: int | None = None) -> None:
        """Part n triggers at second n, as the faults let it through."""
        pixels = np.full((6, 8), part if brightness is None else brightness, np.uint8)
        shots = self.rig.faults.through(pixels, part, float(part))
        self.server.deliver(Sight(part, float(part), part + 0.4, "drawn"), shots)

    def hand_over(self, part: int, pixels: np.ndarray) -> None:
        sight = Sight(part, float(part), part + 0.4, "drawn")
        self.server.deliver(sight, [Shot(np.asarray(pixels, np.uint8), part)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "line.sock"


@pytest.fixture
def served(path: Path) -> Iterator[Served]:
    served = Served(path)
    yield served
    served.server.stop()


@pytest.fixture
def camera(path: Path) -> Iterator[LineCamera]:
    camera = LineCamera(LineCameraSettings(socket=path), SystemClock())
    camera._backoff_s = 0.01
    yield camera
    camera.stop()


class Viewer:
    """Reads a camera on a thread of its own, as an agent does."""

    def __init__(self, camera: LineCamera, deadline_s: float = 9.0) -> None:
        self.events: list[CameraEvent] = []
        self._more = threading.Condition()
        self._camera = camera
        self._thread = threading.Thread(target=self._read, args=(deadline_s,), daemon=True)
        self._thread.start()

    def _read(self, deadline_s: float) -> None:
        for event in self._camera.frames(1, deadline_s):
            with self._more:
                self.events.append(event)
                self._more.notify_all()

    def wait(self, count: int) -> list[CameraEvent]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.events) >= count, WAIT_S)
            return list(self.events)

    def join(self) -> None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


def watching(served: Served, camera: LineCamera) -> Viewer:
    viewer = Viewer(camera)
    assert served.server.watched.wait(WAIT_S)
    return viewer


def described(camera: LineCamera) -> str:
    return camera.state.status


def summary(events: list[CameraEvent]) -> list[tuple[str, int]]:
    return [("frame" if isinstance(event, Frame) else "missed", event.part) for event in events]


def test_the_agent_finds_the_camera_by_its_kind() -> None:
    kinds = {loaded.name: loaded.kind for loaded in CAMERAS.load_all()}
    assert kinds["line"] is KIND


@pytest.mark.process
def test_opening_the_camera_in_an_agent_loads_nothing_of_the_simulator_itself() -> None:
    code = "import sys, hardware_sim.line.camera; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "hardware_sim.line.messages" in loaded
    assert not loaded & {
        "cv2",
        "cloud",
        "paho",
        "hardware_sim.line.line",
        "hardware_sim.line.drawing",
    }


def test_parts_arrive_with_the_lines_numbers_times_and_pixels(
    served: Served, camera: LineCamera
) -> None:
    viewer = watching(served, camera)
    colour = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    served.show(41)
    served.hand_over(42, colour)
    grey, coloured = viewer.wait(2)
    assert isinstance(grey, Frame)
    assert isinstance(coloured, Frame)
    assert (grey.part, grey.triggered, grey.source) == (41, 41.0, "drawn")
    assert np.array_equal(grey.pixels, np.full((6, 8), 41, np.uint8))
    assert np.array_equal(coloured.pixels, colour)
    assert coloured.pixels.flags.c_contiguous
    assert described(camera) == "live"
    served.server.stop()
    viewer.join()
    assert described(camera) == "ended"


@pytest.mark.parametrize(("set_by_user", "deadline"), [(0.1, 1.1), (9.0, 1.4)])
def test_the_earlier_of_setting_and_physics_is_the_deadline(
    served: Served, camera: LineCamera, set_by_user: float, deadline: float
) -> None:
    viewer = Viewer(camera, set_by_user)
    assert served.server.watched.wait(WAIT_S)
    served.show(1)
    assert viewer.wait(1)[0].deadline == pytest.approx(deadline)


def test_a_dropped_frame_is_a_part_without_a_picture(served: Served, camera: LineCamera) -> None:
    viewer = watching(served, camera)
    served.show(1)
    served.rig.faults.set(Drops(share=1.0), 0.0)
    served.show(2)
    served.rig.faults.clear()
    served.show(3)
    events = viewer.wait(3)
    assert summary(events) == [("frame", 1), ("missed", 2), ("frame", 3)]
    assert isinstance(events[1], MissedFrame)
    assert str(events[1].error).startswith("the frame was dropped: no picture of part 2;")
    assert described(camera) == "live"


def test_a_frame_that_comes_twice_is_one_part(served: Served, camera: LineCamera) -> None:
    viewer = watching(served, camera)
    served.rig.faults.set(Duplicates(share=1.0), 0.0)
    served.show(1)
    served.show(2)
    served.rig.faults.clear()
    served.show(3)
    assert summary(viewer.wait(3)) == [("frame", 1), ("frame", 2), ("frame", 3)]


def test_a_disconnected_camera_shows_in_its_state_while_the_sensor_goes_on(
    served: Served, camera: LineCamera
) -> None:
    viewer = watching(served, camera)
    served.rig.faults.set(Disconnect(), 0.0)
    served.show(1)
    assert summary(viewer.wait(1)) == [("missed", 1)]
    assert described(camera) == "retrying"
    assert "the camera is disconnected" in camera.state.error
    served.rig.faults.clear("disconnect")
    served.show(2)
    assert summary(viewer.wait(2))[1] == ("frame", 2)
    assert described(camera) == "live"


def test_parts_that_came_by_unheard_are_told_once_as_if_they_had_come_evenly_spaced(
    served: Served, camera: LineCamera, path: Path
) -> None:
    viewer = watching(served, camera)
    served.show(1)
    viewer.wait(1)
    control = LineControl(path)
    control.set(Disconnect(sensor_lives=False))
    wait_until(lambda: camera.state.status == "retrying", "the camera is lost")
    assert control.state().cameras == 0
    served.show(2)
    served.show(3)
    control.clear("disconnect")
    wait_until(lambda: control.state().cameras == 1, "one camera watches")
    served.show(4)
    events = viewer.wait(4)
    assert summary(events) == [("frame", 1), ("missed", 2), ("missed", 3), ("frame", 4)]
    assert [event.triggered for event in events] == [1.0, 2.0, 3.0, 4.0]
    assert [event.deadline for event in events] == sorted(event.deadline for event in events)


def test_a_line_that_vanishes_is_tried_again_until_another_run_answers(
    path: Path, camera: LineCamera
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        viewer = Viewer(camera)
        stream, _ = listener.accept()
        with stream:
            assert receive(stream, to_line) == (WatchCamera(), bytearray())
            send(stream, Hello("first"))
            send(stream, Picture(7, 7.0, 7.4, 1, 1, 1, "drawn"), b"x")
            viewer.wait(1)
    wait_until(
        lambda: camera.state.status == "retrying" and camera.state.retry_at is not None,
        "it says when it tries again",
    )
    assert str(path) in camera.state.error
    path.unlink()
    served = Served(path)
    assert served.server.watched.wait(WAIT_S)
    # Another run begins with part 1 again, and that is no frame that came twice.
    served.show(1)
    assert summary(viewer.wait(2)) == [("frame", 7), ("frame", 1)]
    served.server.stop()
    viewer.join()


def test_pauses_between_attempts_grow_and_are_bounded(path: Path) -> None:
    camera = LineCamera(LineCameraSettings(socket=path), ManualClock())
    waits = [camera._lost(CameraError("gone")) for _ in range(9)]
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert waits[-1] == 30.0
    assert camera.state.describe(1000.0) == "retrying in 30 s: gone"


def test_a_gap_is_told_in_part_where_it_is_endless(served: Served, camera: LineCamera) -> None:
    viewer = watching(served, camera)
    served.show(1)
    served.hand_over(10**9, np.zeros((2, 2)))
    events = viewer.wait(MAX_GAP + 2)
    assert events[1].part == 10**9 - MAX_GAP
    assert summary(events)[-1] == ("frame", 10**9)


def test_a_camera_that_is_stopped_ends_at_once(served: Served, camera: LineCamera) -> None:
    viewer = watching(served, camera)
    camera.stop()
    viewer.join()
    assert viewer.events == []
    assert described(camera) == "ended"


def test_a_probe_tells_whether_a_line_is_there(path: Path) -> None:
    camera = LineCamera(LineCameraSettings(socket=path), SystemClock())
    with pytest.raises(CameraError, match=r"no line answers at .*; start it with `splitsight sim"):
        camera.probe()
    served = Served(path)
    camera.probe()
    served.server.stop()


def test_a_picture_of_the_wrong_size_loses_the_connection_not_the_camera(
    path: Path, camera: LineCamera
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        viewer = Viewer(camera)
        for sent in (b"xyz", b"xy"):
            stream, _ = listener.accept()
            with stream:
                send(stream, Hello("one"))
                send(stream, Picture(1, 1.0, 1.4, 1, 2, 1, "drawn"), sent)
                assert receive(stream, to_line) == (WatchCamera(), bytearray())
                if sent == b"xy":
                    assert summary(viewer.wait(1)) == [("frame", 1)]
                else:
                    wait_until(
                        lambda: "3 B came for a picture of 1 × 2 × 1" in camera.state.error,
                        "the camera says what came",
                    )
        camera.stop()
        viewer.join()


def test_a_box_that_does_not_read_loses_the_oldest_frames_and_holds_up_nobody(
    served: Served, path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lazy:
        lazy.connect(str(path))
        send(lazy, WatchCamera())
        assert served.server.watched.wait(WAIT_S)
        large = np.zeros((2048, 2048))
        for part in range(1, 31):
            served.hand_over(part, large)
        assert 30 - UNREAD - 4 <= served.server.unread <= 30 - UNREAD


def test_knobs_are_turned_over_the_socket(served: Served, path: Path) -> None:
    control = LineControl(path)
    control.set(Defocus(radius_px=3))
    control.set(Drops(share=0.5))
    control.burst(5, 0.8)
    control.change_speed(2.0)
    control.actuate(1, "reject")
    state = control.state()
    assert state.effects == [
        {"kind": "defocus", "radius_px": 3.0}, {"kind": "drops", "share": 0.5},
    ]  # fmt: skip
    assert (state.speed, state.burst, state.table.stray) == (2.0, 5, 1)
    control.clear("defocus")
    assert [effect["kind"] for effect in control.state().effects] == ["drops"]
    control.clear()
    assert control.state().effects == []


def test_what_the_line_refuses_is_told_and_the_next_request_is_heard(
    served: Served, path: Path
) -> None:
    control = LineControl(path)
    with pytest.raises(SettingsError, match="speed can't be 0"):
        control.change_speed(0.0)
    with pytest.raises(SettingsError, match="no effect 'fog'; use one of"):
        control.clear("fog")
    assert control.state().speed == 1.0


@pytest.mark.parametrize(
    "wire", [b"\xff" * 8, b"\x00\x00\x00\x03\x00\x00\x00\x00abc", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_a_stranger_at_the_socket_is_refused_and_harms_nobody(
    served: Served, path: Path, wire: bytes
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.settimeout(WAIT_S)
        stranger.connect(str(path))
        stranger.sendall(wire)
        heard = receive(stranger, from_line)
        assert heard is not None
        assert isinstance(heard[0], RequestRefused)
    control = LineControl(path)
    assert control.state().photographed == 0


def test_no_line_at_the_path_is_one_clear_error(path: Path) -> None:
    with pytest.raises(ProcessError, match=r"does not answer \(.*\); check that `splitsight sim"):
        LineControl(path).state()


def test_two_lines_cannot_have_one_socket_but_a_dead_ones_is_taken_over(path: Path) -> None:
    first = Served(path)
    with pytest.raises(ProcessError, match="another process already serves"):
        Served(path)
    first.server.stop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    Served(path).server.stop()
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "told"), [("x" * 120, "shorter path"), ("nowhere/line.sock", "can't be made")]
)
def test_a_socket_that_cannot_be_made_is_one_clear_error(
    tmp_path: Path, name: str, told: str
) -> None:
    with pytest.raises(ProcessError, match=told):
        Served(tmp_path / name)


def test_sizes_are_checked_before_anything_is_read_or_sent() -> None:
    here, there = socket.socketpair()
    with here, there:
        with pytest.raises(WireError, match="at most"):
            send(here, Beat(), bytes(MAX_BODY + 1))
        with pytest.raises(WireError, match="at most"):
            send(here, RequestRefused("x" * MAX_HEADER, ""))
        here.sendall(b"\xff\xff\xff\xff\x00\x00\x00\x00")
        with pytest.raises(WireError, match="at most"):
            receive(there, from_line)


def test_messages_survive_the_way_and_a_cut_one_is_an_end() -> None:
    here, there = socket.socketpair()
    with there:
        with here:
            send(here, Picture(3, 1.5, 2.5, 2, 2, 1, "a"), b"abcd")
            send(here, CommandDone())
            assert receive(there, from_line) == (
                Picture(3, 1.5, 2.5, 2, 2, 1, "a"), bytearray(b"abcd"),
            )  # fmt: skip
            assert receive(there, from_line) == (CommandDone(), bytearray())
            send(here, StateQuery())
            with pytest.raises(WireError, match="can't be read"):
                receive(there, from_line)
            here.sendall(b"\x00\x00\x00\x09\x00\x00\x00\x00abc")
        assert receive(there, from_line) is None


def test_faults_have_one_owner_each() -> None:
    one, other = CameraFaults(0), CameraFaults(0)
    one.set(Drops(), 0.0)
    assert other.active == []
