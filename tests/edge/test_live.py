from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import structlog
from numpy.typing import NDArray
from pydantic import SecretStr

from edge.camera.base import CameraState, MissedFrame
from edge.camera.grabber import BACKOFF_S, Capture, Grabber
from edge.camera.live import (
    MOST_UNSEEN,
    RTSP_KIND,
    V4L2_KIND,
    LiveCamera,
    RtspSettings,
    V4l2Settings,
    with_credentials,
)
from shared.address import CameraAddress
from shared.clock import ManualClock, SystemClock
from shared.contracts import Frame
from shared.errors import CameraError

SECRET = "hunter2@#"  # noqa: S105 - not a real one
Delivery = int | None


class FakeCapture:
    """Delivers pictures of the given brightness; None ends the connection."""

    def __init__(self, deliveries: list[Delivery]) -> None:
        self._deliveries = iter(deliveries)
        self.released = False

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        value = next(self._deliveries, None)
        if value is None:
            return False, None
        return True, np.full((8, 8), value, np.uint8)

    def release(self) -> None:
        self.released = True


class FakePlug:
    """A factory of captures: each entry is a connection, None a refused one."""

    def __init__(self, connections: list[list[Delivery] | None]) -> None:
        self._connections = iter(connections)
        self.captures: list[FakeCapture] = []

    def __call__(self) -> Capture:
        deliveries = next(self._connections, None)
        if deliveries is None:
            raise CameraError("cam can't be opened", fix="plug it in")
        self.captures.append(FakeCapture(deliveries))
        return self.captures[-1]


def camera_on(plug: FakePlug, clock: ManualClock) -> tuple[LiveCamera, Grabber]:
    camera = LiveCamera(plug, "cam", 1.0, clock)
    return camera, camera._grabber


def test_the_newest_frame_wins() -> None:
    camera, grabber = camera_on(FakePlug([[1, 2, 3]]), ManualClock())
    for _ in range(3):
        grabber.step()
    event = camera.trigger(1, 0.5)
    assert isinstance(event, Frame)
    assert event.pixels[0, 0] == 3


def test_a_vanished_camera_is_opened_again_with_growing_pauses() -> None:
    clock = ManualClock()
    plug = FakePlug([[1, None], None, None, [9]])
    camera, grabber = camera_on(plug, clock)
    grabber.step()
    assert camera.state == CameraState("live")
    waits = [grabber.step() for _ in range(3)]
    assert waits == [BACKOFF_S[0], 2 * BACKOFF_S[0], 4 * BACKOFF_S[0]]
    assert plug.captures[0].released
    assert camera.state.status == "retrying"
    assert camera.state.describe(clock.monotonic()) == "retrying in 2 s: cam can't be opened"
    assert grabber.step() == 0.0
    assert camera.state == CameraState("live")


@pytest.mark.parametrize("error", [cv2.error("select() timeout"), OSError("gone"), KeyError(1)])
def test_a_read_that_raises_costs_a_frame_and_the_camera_is_opened_again(error: Exception) -> None:
    class Raising(FakeCapture):
        def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
            if not self._first:
                raise error
            self._first = False
            return super().read()

        def release(self) -> None:
            super().release()
            raise error

        _first = True

    captures: list[FakeCapture] = [Raising([1]), FakeCapture([2])]
    opened = iter(captures)
    camera = LiveCamera(lambda: next(opened), "cam", 1.0, ManualClock())
    grabber = camera._grabber
    grabber.step()
    assert isinstance(camera.trigger(1, 0.5), Frame)
    assert grabber.step() == BACKOFF_S[0]
    assert isinstance(camera.trigger(2, 0.5), MissedFrame)
    assert captures[0].released
    assert camera.state.status == "retrying"
    assert type(error).__name__ in camera.state.error or str(error) in camera.state.error
    grabber.step()
    third = camera.trigger(3, 0.5)
    assert isinstance(third, Frame)
    assert third.pixels[0, 0] == 2


def test_a_driver_that_raises_fails_its_probe_in_words() -> None:
    def broken() -> Capture:
        raise cv2.error("no memory")

    with pytest.raises(CameraError, match=r"cam failed .*no memory"):
        LiveCamera(broken, "cam", 1.0, ManualClock()).probe()


def test_pauses_between_attempts_are_bounded() -> None:
    grabber = Grabber(FakePlug([]), "cam", ManualClock())
    assert max(grabber.step() for _ in range(30)) == BACKOFF_S[1]


def test_before_the_first_frame_no_part_is_known_to_come_by() -> None:
    camera, grabber = camera_on(FakePlug([None]), ManualClock())
    grabber.step()
    assert camera.trigger(1, 0.5) is None


def test_parts_that_come_by_a_dead_camera_are_parts_without_a_picture() -> None:
    camera, grabber = camera_on(FakePlug([[1, None]]), ManualClock())
    grabber.step()
    assert isinstance(camera.trigger(1, 0.5), Frame)
    grabber.step()
    missed = camera.trigger(2, 0.5)
    assert isinstance(missed, MissedFrame)
    assert (missed.part, missed.deadline) == (2, missed.triggered + 0.5)


def test_a_frozen_camera_shows_in_the_state() -> None:
    clock = ManualClock()
    camera, grabber = camera_on(FakePlug([[1]]), clock)
    grabber.step()
    clock.advance(10)
    assert camera.state.describe(clock.monotonic()) == "retrying: cam is frozen for 10 s"


class TickEvent(threading.Event):
    """Waits take no time on the clock but their own, and the test looks on at each."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.advance(timeout or 0.0)
        return self.is_set()


def ticking(every_s: float = 0.1) -> tuple[LiveCamera, Grabber, ManualClock]:
    clock = ManualClock()
    camera = LiveCamera(FakePlug([[1] * 10_000]), "cam", every_s, clock)
    camera._stopped = TickEvent(clock)
    grabber = camera._grabber
    grabber.start = lambda: None  # type: ignore[method-assign]
    return camera, grabber, clock


def test_triggers_while_the_agent_stood_still_keep_their_numbers_and_get_no_picture() -> None:
    camera, grabber, clock = ticking()
    began = clock.monotonic()
    events = camera.frames(7, 0.5)
    grabber.step()
    assert isinstance(next(events), Frame)
    clock.advance(4.03)
    grabber.step()
    grabber.step()
    unseen = [next(events) for _ in range(39)]
    assert all(isinstance(event, MissedFrame) for event in unseen)
    assert [event.part for event in unseen] == list(range(8, 47))
    triggers = [event.triggered - began for event in unseen]
    assert triggers == pytest.approx([0.2 + n / 10 for n in range(39)])
    assert all(event.deadline == pytest.approx(event.triggered + 0.5) for event in unseen)
    assert all(event.uncounted == 0 for event in unseen if isinstance(event, MissedFrame))
    # And from here on it is as steady as before.
    following = next(events)
    assert following.part == 47
    assert isinstance(following, Frame)
    assert clock.monotonic() - began == pytest.approx(4.13)


def test_after_hours_the_newest_get_records_and_of_the_others_the_count_is_told() -> None:
    camera, grabber, clock = ticking()
    events = camera.frames(1, 0.5)
    grabber.step()
    next(events)
    clock.advance(3600.0)
    unseen = [next(events) for _ in range(MOST_UNSEEN)]
    first, *others = (event for event in unseen if isinstance(event, MissedFrame))
    assert (first.part, first.uncounted) == (2 + 34_999, 34_999)
    assert [event.part for event in others] == list(range(35_002, 36_001))
    assert not any(event.uncounted for event in others)


def test_a_trigger_that_is_noticed_a_little_late_is_none_that_was_missed() -> None:
    camera, grabber, clock = ticking()
    events = camera.frames(1, 0.5)
    grabber.step()
    next(events)
    for part in range(2, 20):
        clock.advance(0.09)
        grabber.step()
        assert next(events).part == part


def test_what_waited_in_a_buffer_while_the_process_stood_still_is_no_parts_picture() -> None:
    clock = ManualClock()

    class Buffered(FakeCapture):
        """Every 40 ms a frame; what was not read meanwhile waits."""

        def __init__(self) -> None:
            super().__init__([])
            self._due = clock.monotonic()

        def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
            self._due += 0.04
            clock.advance(max(0.005, self._due - clock.monotonic()))
            late_ms = round((clock.monotonic() - self._due) * 1000)
            return True, np.full((8, 8), min(255, late_ms), np.uint8)

    grabber = Grabber(Buffered, "cam", clock)
    for _ in range(50):
        grabber.step()
    clock.advance(2.0)
    before = grabber.latest
    shown = []
    for _ in range(100):
        grabber.step()
        if grabber.latest is not before and grabber.latest is not None:
            before = grabber.latest
            shown.append(int(before.pixels[0, 0]))
    assert len(shown) > 30
    assert max(shown) <= 5


def test_a_camera_that_is_not_there_fails_its_probe() -> None:
    camera, _ = camera_on(FakePlug([None]), ManualClock())
    with pytest.raises(CameraError, match="can't be opened"):
        camera.probe()
    silent, _ = camera_on(FakePlug([[None]]), ManualClock())
    with pytest.raises(CameraError, match="delivers no frame"):
        silent.probe()


def test_a_camera_runs_on_its_own_threads_until_it_is_stopped() -> None:
    class Endless(FakeCapture):
        def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
            return True, np.zeros((8, 8), np.uint8)

    camera = LiveCamera(lambda: Endless([]), "cam", 0.01, SystemClock())
    events: Iterator[object] = camera.frames(5, 0.5)
    first = next(events)
    assert isinstance(first, Frame)
    assert first.part == 5
    camera.stop()
    assert list(events) == []
    assert camera.state.status == "ended"
    for thread in threading.enumerate():
        if thread.name == "camera":
            thread.join(5)


def test_the_address_gets_user_and_password_in_safe_form() -> None:
    url = CameraAddress("rtsp://10.0.0.9:554/ch1")
    settings = RtspSettings(url=url, username="me", password=_secret())
    address = with_credentials(settings)
    assert address.get_secret_value() == "rtsp://me:hunter2%40%23@10.0.0.9:554/ch1"
    assert str(address) == "rtsp://***@10.0.0.9:554/***"
    assert SECRET not in repr(settings)


def test_no_password_reaches_log_state_or_error() -> None:
    settings = RtspSettings(
        url=CameraAddress("rtsp://127.0.0.1:1/ch1"),
        username="me",
        password=_secret(),
        every_ms=10,
    )
    camera = RTSP_KIND.open(settings, SystemClock())
    assert isinstance(camera, LiveCamera)
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(CameraError) as raised:
            camera.probe()
        camera._grabber.step()
    told = f"{logs} {raised.value} {camera.state}"
    assert "127.0.0.1:1/***" in told
    assert "hunter2" not in told
    assert "me:" not in told


def test_a_device_that_does_not_exist_is_one_clear_error() -> None:
    camera = V4L2_KIND.open(V4l2Settings(device="/dev/video99", width=640), SystemClock())
    with pytest.raises(CameraError, match=r"/dev/video99 can't be opened; check that it is"):
        camera.probe()


def _secret() -> SecretStr:
    return SecretStr(SECRET)
