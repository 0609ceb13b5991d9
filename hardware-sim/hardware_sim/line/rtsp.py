"""A line's camera as an RTSP stream, for boxes with `camera: {kind: rtsp}` and for players.

As much of RTSP 1.0 (RFC 2326) as they need, with RTP in the same connection. Pictures are not
compressed (RFC 4175): what arrives is what was seen, to the last bit. Between two parts the last
picture stays, as on a camera with a strobe; a box takes one whenever it thinks that a part is
there, and numbers parts by itself.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from hardware_sim.camera.faults import Shot
from hardware_sim.line.line import Sight, SimulatedLine
from hardware_sim.processes.unix_socket import hang_up
from shared.clock import Clock
from shared.features.optics import Pixels
from shared.log import get_logger
from shared.loopback import bind

log = get_logger("line")

FPS = 25
CLOCK_HZ = 90_000
PAYLOAD_TYPE = 96
# An interleaved packet's length has 16 bits; headers need some of them.
MAX_PIXEL_BYTES = 60_000
MAX_LINE = 4096
MAX_HEADERS = 64
SILENT_S = 90.0
"""Players that receive say so more often than this; who does not is gone."""
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
_RTP = struct.Struct(">BBHII")
_LINE_HEADER = struct.Struct(">HHH")


class Request(NamedTuple):
    """What a player asks. Names of headers are in lower case."""

    method: str
    headers: Mapping[str, str]


class RtspServer:
    """Shows one line. `deliver` is what the line is given to hand its shots to."""

    def __init__(self, address: tuple[str, int], clock: Clock) -> None:
        """address: host and port; port 0 takes any free one"""
        self.watched = threading.Event()
        self._host, self._port = address
        self._clock = clock
        self._line: SimulatedLine | None = None
        self._shown: Pixels = np.zeros((1, 1, 3), np.uint8)
        self._listener: socket.socket | None = None
        self._peers: set[socket.socket] = set()
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        return f"rtsp://{self._host}:{self._port}/line"

    def start(self, line: SimulatedLine, first: Pixels) -> None:
        """Listen. Raises ProcessError where the port is taken.

        first   shown before the first part; later pictures get its size
        """
        self._line, self._shown = line, _colour(first)
        self._listener = bind(self._host, self._port, setting="--rtsp")
        self._port = self._listener.getsockname()[1]
        self._listener.listen()
        threading.Thread(target=self._accept, name="rtsp", daemon=True).start()

    def stop(self) -> None:
        """Hang up on everybody. May be called twice."""
        self._ended.set()
        for stream in (self._listener, *self._peers):
            if stream is not None:
                hang_up(stream)
        if self._listener is not None:
            self._listener.close()

    def deliver(self, _sight: Sight, shots: Sequence[Shot]) -> None:
        """A part was photographed; without a shot the picture before it stays."""
        for shot in shots:
            height, width = self._shown.shape[:2]
            pixels = _colour(shot.pixels)
            if pixels.shape[:2] != (height, width):
                pixels = np.asarray(cv2.resize(pixels, (width, height)), np.uint8)
            self._shown = pixels

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._ended.is_set():
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            serve = threading.Thread(target=self._serve, args=(stream,), name="rtsp", daemon=True)
            serve.start()

    def _serve(self, stream: socket.socket) -> None:
        stream.settimeout(SILENT_S)
        self._peers.add(stream)
        try:
            with stream, stream.makefile("rb") as heard:
                self._talk(stream, heard)
        except (OSError, ValueError) as error:
            log.info("rtsp_peer_gone", error=str(error))
        finally:
            self._peers.discard(stream)

    def _talk(self, stream: socket.socket, heard: BinaryIO) -> None:
        """Raises OSError for a player that is gone, ValueError for one that does not speak RTSP."""
        sending = threading.Lock()
        is_set_up = False
        for request in _requests(heard):
            status, headers, body = self._answer(request, is_set_up=is_set_up)
            with sending:
                stream.sendall(_response(request, status, headers, body))
            if status != _OK or request.method == "TEARDOWN":
                continue
            is_set_up = is_set_up or request.method == "SETUP"
            if request.method == "PLAY":
                play = threading.Thread(target=self._play, args=(stream, sending), daemon=True)
                play.start()
                self.watched.set()

    def _answer(self, request: Request, *, is_set_up: bool) -> tuple[str, dict[str, str], str]:
        """Status, headers and body."""
        refused = self._refusal(request, is_set_up=is_set_up)
        if refused is not None:
            return refused, {"Public": METHODS}, ""
        match request.method:
            case "DESCRIBE":
                return _OK, {"Content-Type": "application/sdp"}, self._description()
            case "SETUP":
                transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
                return _OK, {"Transport": transport, "Session": _SESSION}, ""
            case "PLAY":
                return _OK, {"Session": _SESSION}, ""
            case _:
                return _OK, {"Public": METHODS}, ""

    def _refusal(self, request: Request, *, is_set_up: bool) -> str | None:
        match request.method:
            case "DESCRIBE" if self._is_gone:
                return "503 Service Unavailable"
            case "SETUP" if "TCP" not in request.headers.get("transport", ""):
                return "461 Unsupported Transport"
            case "PLAY" if not is_set_up:
                return "455 Method Not Valid in This State"
            case method if method not in METHODS.split(", "):
                return "501 Not Implemented"
            case _:
                return None

    def _description(self) -> str:
        height, width = self._shown.shape[:2]
        shape = f"sampling=BGR; width={width}; height={height}; depth=8; colorimetry=SMPTE240M"
        lines = (
            "v=0",
            f"o=- 0 0 IN IP4 {self._host}",
            "s=line",
            "t=0 0",
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
            f"a=rtpmap:{PAYLOAD_TYPE} raw/{CLOCK_HZ}",
            f"a=fmtp:{PAYLOAD_TYPE} {shape}",
            f"a=framerate:{FPS}",
            "a=control:video",
        )
        return "".join(f"{line}\r\n" for line in lines)

    def _play(self, stream: socket.socket, sending: threading.Lock) -> None:
        sequence, due = 0, self._clock.monotonic()
        with contextlib.suppress(OSError):
            while not self._ended.is_set() and not self._is_gone:
                at = int(self._clock.monotonic() * CLOCK_HZ)
                for packet in packets(self._shown, at, sequence):
                    sequence += 1
                    with sending:
                        stream.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                due = max(due + 1 / FPS, self._clock.monotonic())
                self._ended.wait(due - self._clock.monotonic())
        # A camera that is gone ends its stream; nobody is there to say so to a player that is.
        hang_up(stream)

    @property
    def _is_gone(self) -> bool:
        return self._line is not None and self._line.faults.disconnected is not None


def packets(pixels: Pixels, at: int, sequence: int) -> Iterator[bytes]:
    """RTP packets of one uint8 (h, w, 3) BGR picture (RFC 4175).

    at         in ticks of 1/CLOCK_HZ
    sequence   of the first packet
    """
    height, width = pixels.shape[:2]
    wide = 3 * width
    rows = pixels.reshape(height, wide)
    step = max(1, MAX_PIXEL_BYTES // (wide + _LINE_HEADER.size))
    for number, top in enumerate(range(0, height, step)):
        part = rows[top : top + step]
        below = top + len(part)
        marker = 0x80 if below == height else 0
        number_bits = (sequence + number) & 0xFFFF
        rtp = _RTP.pack(0x80, PAYLOAD_TYPE | marker, number_bits, at & 0xFFFFFFFF, 1)
        more = (0x8000 if row < below - 1 else 0 for row in range(top, below))
        headers = b"".join(
            _LINE_HEADER.pack(wide, row, again)
            for row, again in zip(range(top, below), more, strict=True)
        )
        # Between them the extended sequence number's upper half, which nobody looks at.
        yield rtp + b"\0\0" + headers + part.tobytes()


def _requests(heard: BinaryIO) -> Iterator[Request]:
    """Until the player hangs up. Raises ValueError for what is no RTSP."""
    while first := heard.read(1):
        if first == b"$":
            # A receiver's report, which is of no interest.
            heard.read(int.from_bytes(heard.read(3)[1:], "big"))
            continue
        words = (first + _line(heard)).decode("ascii").split()
        headers: dict[str, str] = {}
        while line := _line(heard).strip():
            name, _, value = line.decode("ascii").partition(":")
            headers[name.lower()] = value.strip()
            if len(headers) > MAX_HEADERS:
                raise ValueError("a request has too many headers")
        if len(words) != 3 or not words[2].startswith("RTSP/"):
            raise ValueError("what came is no RTSP request")
        heard.read(min(max(0, int(headers.get("content-length", 0))), MAX_LINE))
        yield Request(words[0], headers)


def _line(heard: BinaryIO) -> bytes:
    line = heard.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise ValueError("a line is cut or too long")
    return line


def _response(request: Request, status: str, headers: Mapping[str, str], body: str) -> bytes:
    said = {"CSeq": request.headers.get("cseq", "0"), **headers}
    if body:
        said["Content-Length"] = str(len(body))
    lines = [f"RTSP/1.0 {status}", *(f"{name}: {value}" for name, value in said.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("ascii")


def _colour(pixels: Pixels) -> Pixels:
    if pixels.ndim == 3:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)


_OK = "200 OK"
_SESSION = "1;timeout=60"
