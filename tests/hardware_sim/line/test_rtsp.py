"""The line's camera as a stream, and what OpenCV and the agent's `rtsp` camera make of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.camera.base import CameraEvent
from edge.camera.live import RTSP_KIND, RtspSettings
from hardware_sim.camera.faults import Disconnect, Shot
from hardware_sim.line.conveyor import LineSettings
from hardware_sim.line.drawing.parts import DrawingSettings, DrawnParts
from hardware_sim.line.line import Sight
from hardware_sim.line.rtsp import RtspServer, packets
from hardware_sim.line.run import LineRun, LineRunSettings
from shared.address import CameraAddress
from shared.clock import SystemClock
from shared.contracts import Frame
from shared.errors import ProcessError
from shared.features.optics import Pixels
from tests.hardware_sim.line.rigs import LineRig
from tests.support.waiting import wait_until

WAIT_S = 20.0
OPTIONS = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 20_000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 20_000]


class Streamed:
    """A stream whose pictures the test hands over."""

    def __init__(self, first: Pixels) -> None:
        self.rig = LineRig()
        self.server = RtspServer(("127.0.0.1", 0), SystemClock())
        self.server.start(self.rig.line, first)

    def show(self, pixels: Pixels) -> None:
        self.server.deliver(Sight(1, 1.0, 1.4, "drawn"), [Shot(pixels, 1)])


@pytest.fixture
def streamed() -> Iterator[Streamed]:
    streamed = Streamed(np.zeros((48, 64), np.uint8))
    yield streamed
    streamed.server.stop()


def opened(streamed: Streamed) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(streamed.server.url, cv2.CAP_FFMPEG, OPTIONS)
    assert capture.isOpened()
    return capture


def sees(capture: cv2.VideoCapture, wanted: Pixels) -> bool:
    ok, pixels = capture.read()
    assert ok
    return pixels.shape == wanted.shape and bool((pixels == wanted).all())


@pytest.fixture
def picture() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)


def test_what_the_camera_sees_arrives_to_the_last_bit_in_colour_and_in_grey(
    streamed: Streamed, picture: Pixels
) -> None:
    capture = opened(streamed)
    streamed.show(picture)
    wait_until(lambda: sees(capture, picture), "the picture is seen")
    streamed.show(picture[:, :, 0])
    grey = np.repeat(picture[:, :, :1], 3, axis=2)
    wait_until(lambda: sees(capture, grey), "the picture is seen")
    capture.release()


def test_pictures_of_another_size_are_fitted_into_the_stream(streamed: Streamed) -> None:
    capture = opened(streamed)
    streamed.show(np.full((10, 90, 3), 77, np.uint8))
    wait_until(lambda: sees(capture, np.full((48, 64, 3), 77, np.uint8)), "the picture is seen")
    capture.release()


def test_a_disconnected_camera_ends_its_stream_until_it_is_back(streamed: Streamed) -> None:
    capture = opened(streamed)
    streamed.rig.faults.set(Disconnect(), at=0.0)
    wait_until(lambda: not capture.read()[0], "the stream has ended")
    capture.release()
    assert not cv2.VideoCapture(streamed.server.url, cv2.CAP_FFMPEG, OPTIONS).isOpened()
    streamed.rig.faults.clear("disconnect")
    opened(streamed).release()


def test_the_agents_own_camera_takes_parts_from_a_running_line() -> None:
    drawing = DrawingSettings(height=64, width=64)
    geometry = LineSettings(speed=2.0, pitch=0.5, camera_at=0.1, ejector_at=1.0)
    run = LineRun(
        LineRunSettings(seed=5, parts=12, drawing=drawing, line=geometry),
        SystemClock(),
        rtsp=("127.0.0.1", 0),
    )
    belt = threading.Thread(target=lambda: list(run.settled(await_camera=True)), daemon=True)
    belt.start()
    assert run.stream is not None
    stream = run.stream
    wait_until(lambda: not stream.url.endswith(":0/line"), "the server listens")
    camera = RTSP_KIND.open(
        RtspSettings(url=CameraAddress(stream.url), every_ms=250), SystemClock()
    )
    drawn = DrawnParts(drawing, 5)
    wanted = {
        cv2.cvtColor(drawn.part(n).pixels, cv2.COLOR_GRAY2BGR).tobytes() for n in range(1, 13)
    }
    seen: list[CameraEvent] = []
    for event in camera.frames(1, 0.5):
        if isinstance(event, Frame) and event.pixels.tobytes() in wanted:
            seen.append(event)
        if len(seen) == 3:
            camera.stop()
    run.stop()
    belt.join(WAIT_S)
    assert not belt.is_alive()
    assert len({event.pixels.tobytes() for event in seen if isinstance(event, Frame)}) > 1


def asked(streamed: Streamed, request: bytes) -> bytes:
    """What the server says until it is silent for a moment, or hangs up."""
    host, port = streamed.server.url.removeprefix("rtsp://").removesuffix("/line").split(":")
    with socket.create_connection((host, int(port)), WAIT_S) as stream:
        stream.sendall(request)
        stream.shutdown(socket.SHUT_WR)
        said = b""
        while more := stream.recv(4096):
            said += more
    return said


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n", b"RTSP/1.0 200 OK\r\nCSeq: 7\r\n"),
        (b"$\0\0\3abcOPTIONS * RTSP/1.0\r\n\r\n", b"RTSP/1.0 200 OK"),
        (b"SETUP rtsp://h/line RTSP/1.0\r\nTransport: RTP/AVP;unicast\r\n\r\n", b"RTSP/1.0 461 "),
        (b"PLAY rtsp://h/line RTSP/1.0\r\n\r\n", b"RTSP/1.0 455 "),
        (b"RECORD rtsp://h/line RTSP/1.0\r\n\r\n", b"RTSP/1.0 501 "),
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"OPTIONS * RTSP/1.0\r\n" + b"a" * 5000, b""),
        (b"OPTIONS * RTSP/1.0\r\n" + b"".join(b"h%d: x\r\n" % n for n in range(99)), b""),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: x\r\n\r\n", b""),
        (b"\xff\xff\n", b""),
        (b"$\0", b""),
    ],
)
def test_what_is_asked_is_answered_and_what_is_no_rtsp_is_hung_up_on(
    streamed: Streamed, request_: bytes, said: bytes
) -> None:
    answer = asked(streamed, request_)
    assert answer.startswith(said) if said else not answer
    assert asked(streamed, b"OPTIONS * RTSP/1.0\r\n\r\n")


def test_a_taken_port_is_refused_in_words(streamed: Streamed) -> None:
    port = int(streamed.server.url.split(":")[2].removesuffix("/line"))
    other = RtspServer(("127.0.0.1", port), SystemClock())
    with pytest.raises(ProcessError, match=r"is taken by another process.*--rtsp"):
        other.start(streamed.rig.line, np.zeros((4, 4), np.uint8))


@settings(max_examples=30)
@given(st.integers(1, 90), st.integers(1, 2048), st.integers(0, 2**40), st.integers(0, 2**40))
def test_every_row_is_sent_once_in_packets_that_fit_and_the_last_is_marked(
    height: int, width: int, at: int, sequence: int
) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    sent = list(packets(pixels, at, sequence))
    assert all(len(packet) < 2**16 for packet in sent)
    assert [packet[1] >> 7 for packet in sent] == [0] * (len(sent) - 1) + [1]
    numbers = [int.from_bytes(packet[2:4], "big") for packet in sent]
    assert numbers == [(sequence + n) & 0xFFFF for n in range(len(sent))]
    rows = []
    for packet in sent:
        place, last = 14, False
        while not last:
            rows.append(int.from_bytes(packet[place + 2 : place + 4], "big"))
            last = not packet[place + 4] >> 7
            place += 6
    assert rows == list(range(height))
