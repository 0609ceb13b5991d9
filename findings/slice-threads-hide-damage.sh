#!/usr/bin/env bash
# PyAV's `VideoFrame.is_corrupt` stays False for pictures that the decoder had to make up in part,
# where it decodes a picture's slices on several threads, which is the default. With one thread, or
# one thread a picture, it is True. Needs a machine with two processors or more.
# Output: av 18.1.0 libavcodec (62, 28, 102)
#   by default             marked of 100 whole: 0, of 4 damaged: 0
#   one thread             marked of 100 whole: 0, of 4 damaged: 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import sys
from fractions import Fraction

import av
import numpy as np

print("av", av.__version__, "libavcodec", av.library_versions["libavcodec"])


def encoded() -> list[bytes]:
    """100 pictures of four slices each, every 25th a key picture."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), 25
    more = "keyint=25:scenecut=0:bframes=0:slices=4:annexb=1"
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "x264-params": more}
    noise = np.random.default_rng(0).integers(0, 40, (240, 320, 1), np.uint8)
    packets = []
    for number in range(100):
        pixels = np.full((240, 320, 3), 90, np.uint8) + noise
        pixels[80:140, number * 3 : number * 3 + 20] = 220
        frame = av.VideoFrame.from_ndarray(pixels, "bgr24")
        frame.pts = number
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets + [bytes(packet) for packet in encoder.encode(None)]


def corrupt(packets: list[bytes], count: int | None, kind: str | None) -> int:
    decoder = av.CodecContext.create("h264", "r")
    if kind is not None:
        decoder.thread_type = kind
    if count is not None:
        decoder.thread_count = count
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))]
    return sum(frame.is_corrupt for frame in frames + list(decoder.decode(None)))


whole = encoded()
# As when the last RTP packet of a picture is lost: its last slice ends too early.
short = [p[: len(p) * 7 // 8] if n % 25 == 10 else p for n, p in enumerate(whole)]
seen = {}
for name, count, kind in (
    ("by default", None, None),
    ("two threads a picture", 2, "SLICE"),
    ("a thread a picture", 4, "FRAME"),
    ("one thread", 1, None),
):
    seen[name] = corrupt(whole, count, kind), corrupt(short, count, kind)
    print(f"{name:22} marked of 100 whole: {seen[name][0]}, of 4 damaged: {seen[name][1]}")
expected = {
    "by default": (0, 0),
    "two threads a picture": (0, 0),
    "a thread a picture": (0, 4),
    "one thread": (0, 4),
}
sys.exit(seen != expected)
PYTHON
