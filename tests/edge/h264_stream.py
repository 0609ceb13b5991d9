"""A network camera that sends H.264, of which some RTP packets get lost (RFC 6184)."""

from __future__ import annotations

import base64
import random
import socket
import struct
import threading
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware_sim.line.rtsp import CLOCK_HZ, PAYLOAD_TYPE, RtspServer
from shared.clock import SystemClock

FPS = 25
HEIGHT, WIDTH = 240, 320
MTU = 1200
KEY_EVERY = 25


def moving(number: int) -> NDArray[np.uint8]:
    """A picture that differs from the one before in many places."""
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    pixels += np.random.default_rng(0).integers(0, 40, (HEIGHT, WIDTH, 1)).astype(np.uint8)
    left = number * 7 % (WIDTH - 60)
    pixels[80:140, left : left + 60] = 220
    pixels[20:40, :] += (
        np.random.default_rng(number).integers(0, 30, (20, WIDTH, 1)).astype(np.uint8)
    )
    return pixels


def encoded(count: int) -> list[bytes]:
    """Access units in byte-stream format, a key picture every KEY_EVERY."""
    import av

    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate = Fraction(1, FPS), FPS
    more = f"keyint={KEY_EVERY}:scenecut=0:bframes=0:annexb=1:repeat-headers=1"
    context.options = {"preset": "veryfast", "tune": "zerolatency", "x264-params": more}
    units = []
    for number in range(count):
        frame: Any = av.VideoFrame.from_ndarray(moving(number), "bgr24")
        frame.pts = number
        units += [bytes(packet) for packet in context.encode(frame)]
    return units + [bytes(packet) for packet in context.encode(None)]


def nal_units(access_unit: bytes) -> list[bytes]:
    return [unit.rstrip(b"\0") for unit in access_unit.split(b"\0\0\1") if unit.rstrip(b"\0")]


def payloads(unit: bytes) -> list[bytes]:
    """RTP payloads of a NAL unit: itself, or fragments of it."""
    if len(unit) <= MTU:
        return [unit]
    kind, body = unit[0], unit[1:]
    pieces = [body[at : at + MTU] for at in range(0, len(body), MTU)]
    last = len(pieces) - 1
    return [
        bytes([kind & 0x60 | 28, kind & 0x1F | 0x80 * (n == 0) | 0x40 * (n == last)]) + piece
        for n, piece in enumerate(pieces)
    ]


class LossyStream(RtspServer):
    """Sends each access unit once, and leaves out a share of the packets."""

    def __init__(self, units: list[bytes], share: float, *, pace: float = 1.0) -> None:
        super().__init__(("127.0.0.1", 0), SystemClock())
        self._units = units
        self._share = share
        self._pace = pace
        self._random = random.Random(3)  # noqa: S311 - which packets get lost
        self.lost = 0

    def _description(self) -> str:
        sets = [unit for unit in nal_units(self._units[0]) if unit[0] & 0x1F in {7, 8}]
        told = ",".join(base64.b64encode(unit).decode() for unit in sets)
        lines = (
            "v=0", f"o=- 0 0 IN IP4 {self._host}", "s=camera", "t=0 0",
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}", f"a=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK_HZ}",
            f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1; sprop-parameter-sets={told}",
            "a=control:video",
        )  # fmt: skip
        return "".join(f"{line}\r\n" for line in lines)

    def _play(self, stream: socket.socket, sending: threading.Lock) -> None:
        sequence = 0
        try:
            for number, access_unit in enumerate(self._units):
                at = number * CLOCK_HZ // FPS
                whole = [one for unit in nal_units(access_unit) for one in payloads(unit)]
                for n, payload in enumerate(whole):
                    sequence += 1
                    if number and self._random.random() < self._share:
                        self.lost += 1
                        continue
                    marker = 0x80 if n == len(whole) - 1 else 0
                    head = struct.pack(
                        ">BBHII", 0x80, PAYLOAD_TYPE | marker, sequence & 0xFFFF, at, 1
                    )
                    packet = head + payload
                    with sending:
                        stream.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                self._ended.wait(self._pace / FPS)
            stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
