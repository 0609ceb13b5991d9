"""Of a network camera's stream only whole pictures count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.camera.base import MissedFrame
from edge.camera.grabber import Capture, PictureDamaged
from edge.camera.h264 import FrameNumbers
from edge.camera.live import RTSP_KIND, LiveCamera, RtspSettings
from edge.camera.stream import CheckedStream, Wholeness
from shared.clock import ManualClock, SystemClock
from shared.contracts import Frame
from shared.errors import CameraError
from tests.edge.h264_stream import LossyStream, encoded
from tests.hardware_sim.line.rigs import LineRig

COUNT = 120
WAIT_S = 30.0
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def units() -> list[bytes]:
    pytest.importorskip("av")
    return encoded(COUNT)


@pytest.fixture(scope="module")
def truth(units: list[bytes]) -> list[Pixels]:
    """What a decoder makes of the stream when nothing is lost."""
    with lossy(units, 0.0) as stream:
        return [pixels for pixels in shown(stream) if pixels is not None]


@contextmanager
def lossy(units: list[bytes], share: float) -> Iterator[LossyStream]:
    stream = LossyStream(units, share, pace=0.05)
    stream.start(LineRig().line, np.zeros((2, 2), np.uint8))
    try:
        yield stream
    finally:
        stream.stop()


def shown(stream: LossyStream) -> list[Pixels | None]:
    """Each picture that comes; None for one that is said not to be whole."""
    capture = CheckedStream(stream.url, "cam", WAIT_S, WAIT_S)
    pictures: list[Pixels | None] = []
    while True:
        try:
            ok, pixels = capture.read()
        except PictureDamaged:
            pictures.append(None)
            continue
        if not ok:
            capture.release()
            return pictures
        pictures.append(pixels)


def test_a_stream_that_arrives_whole_is_shown_whole(truth: list[Pixels]) -> None:
    assert len(truth) == COUNT


@pytest.mark.parametrize("share", [0.01, 0.04])
def test_of_a_stream_that_loses_packets_no_half_decoded_picture_is_shown(
    units: list[bytes], truth: list[Pixels], share: float
) -> None:
    whole = {pixels.tobytes() for pixels in truth}
    with lossy(units, share) as stream:
        pictures = shown(stream)
    assert stream.lost > 2
    assert any(pixels is None for pixels in pictures)
    kept = [pixels for pixels in pictures if pixels is not None]
    assert kept
    assert all(pixels.tobytes() in whole for pixels in kept)


def test_a_picture_that_is_lost_as_a_whole_is_missed_by_those_after_it(units: list[bytes]) -> None:
    numbers = FrameNumbers()
    assert not any(numbers.is_gap(unit) for unit in units)
    numbers = FrameNumbers()
    gaps = [n for n, unit in enumerate(units) if n not in {10, 60, 61} and numbers.is_gap(unit)]
    assert gaps == [11, 62]


@pytest.mark.parametrize("data", [b"", b"\0\0\1", b"\0\0\1\x67", b"\0\0\1\x65", b"\0\0\1\x41\xff"])
def test_what_can_not_be_read_is_no_gap(units: list[bytes], data: bytes) -> None:
    numbers = FrameNumbers()
    numbers.read_parameters(data)
    assert not numbers.is_gap(data)


def test_nothing_counts_after_a_damaged_picture_until_the_next_whole_key_picture() -> None:
    whole = Wholeness()
    came = [
        whole.picture(key=key, corrupt=corrupt)
        for key, corrupt in [
            (False, False),
            (True, False),
            (False, False),
            (False, True),
            (False, False),
            (True, True),
            (False, False),
            (True, False),
        ]
    ]
    assert came == [False, True, True, False, False, False, False, True]
    whole.broken("lost")
    assert not whole.picture(key=False, corrupt=False)


def test_no_stream_is_one_clear_error_without_the_address() -> None:
    pytest.importorskip("av")
    with pytest.raises(CameraError, match=r"cam can't be opened \(ConnectionRefusedError\)"):
        CheckedStream("rtsp://me:hunter2@127.0.0.1:1/x", "cam", 5.0, 5.0)


class Damaged:
    """A capture whose pictures are not whole, but for every third."""

    def __init__(self) -> None:
        self._read = 0

    def read(self) -> tuple[bool, Pixels | None]:
        self._read += 1
        if self._read % 3:
            raise PictureDamaged("cam gives no whole picture: data was lost", fix="look")
        return True, np.zeros((8, 8), np.uint8)

    def release(self) -> None: ...


def test_a_part_whose_newest_picture_is_not_whole_is_missed_and_says_why() -> None:
    opened: list[Capture] = []

    def factory() -> Capture:
        opened.append(Damaged())
        return opened[-1]

    camera = LiveCamera(factory, "cam", 1.0, ManualClock())
    for _ in range(3):
        assert camera._grabber.step() == 0.0
    assert isinstance(camera.trigger(1, 0.5), Frame)
    for _ in range(3):
        camera._grabber.step()
    camera._grabber.step()
    # The last whole one came before: it is another part's.
    missed = camera.trigger(2, 0.5)
    assert isinstance(missed, MissedFrame)
    assert missed.error.message == "cam gives no whole picture: data was lost"
    assert camera.state.status == "live"
    assert len(opened) == 1


def test_the_agents_camera_checks_its_stream(units: list[bytes], truth: list[Pixels]) -> None:
    with lossy(units, 0.0) as stream:
        settings = RtspSettings.model_validate({"url": stream.url, "every_ms": 20})
        camera = RTSP_KIND.open(settings, SystemClock())
        events = camera.frames(1, 0.5)
        first = next(event for event in events if isinstance(event, Frame))
        camera.stop()
    assert first.pixels.tobytes() in {pixels.tobytes() for pixels in truth}
