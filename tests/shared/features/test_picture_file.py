"""Pictures as many programs write them, and damage that no decoder may pass over."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from shared.features.picture_file import decoded, loaded
from shared.opener import Unopenable

HEIGHT, WIDTH = 96, 128
HEADER = 700
SAID = "cut off or damaged"


def drawn() -> NDArray[np.uint8]:
    """Busy enough that its data are longer than its headers; grey."""
    down, along = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(0).normal(0, 25, (HEIGHT, WIDTH))
    return np.asarray(np.clip(120 + 60 * np.sin(along / 7 + down / 11) + noise, 0, 255), np.uint8)


GREY = drawn()
COLOUR = np.dstack([GREY, 255 - GREY, np.roll(GREY, 9, axis=1)])


def by_opencv(ending: str, pixels: NDArray[np.uint8], *options: int) -> bytes:
    return cv2.imencode(ending, pixels, list(options))[1].tobytes()


def by_pillow(form: str, **options: Any) -> bytes:
    stream, mode = io.BytesIO(), options.pop("mode", "RGB")
    Image.fromarray(COLOUR[:, :, ::-1].copy()).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def by_ffmpeg() -> bytes:
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
    codec.options = {"strict": "unofficial"}
    frame = av.VideoFrame.from_ndarray(COLOUR, format="bgr24").reformat(format="yuvj420p")
    codec.time_base = frame.time_base = Fraction(1, 25)
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def turned(quarter: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = quarter
    return tags.tobytes()


JPEGS = {
    "OpenCV, grey": by_opencv(".jpg", GREY),
    "OpenCV, colour": by_opencv(".jpg", COLOUR),
    "OpenCV, progressive": by_opencv(".jpg", COLOUR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "OpenCV, fitted tables": by_opencv(".jpg", COLOUR, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "OpenCV, restarts": by_opencv(".jpg", COLOUR, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "OpenCV, 4:1:1": by_opencv(
        ".jpg", COLOUR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411
    ),
    "Pillow": by_pillow("JPEG", quality=85),
    "Pillow, grey": by_pillow("JPEG", mode="L"),
    "Pillow, a profile": by_pillow("JPEG", icc_profile=bytes(70_000)),
    "Pillow, RGB as it is": by_pillow("JPEG", keep_rgb=True),
    "Pillow, inks": by_pillow("JPEG", mode="CMYK"),
    "Pillow, EXIF": by_pillow("JPEG", exif=turned(1)),
    "libjpeg-turbo": simplejpeg.encode_jpeg(COLOUR, colorspace="BGR"),
    "FFmpeg": by_ffmpeg(),
}


@pytest.mark.parametrize("raw", JPEGS.values(), ids=JPEGS.keys())
@pytest.mark.parametrize("mode", [cv2.IMREAD_ANYCOLOR, cv2.IMREAD_GRAYSCALE, cv2.IMREAD_COLOR])
def test_what_an_encoder_writes_is_read_as_opencv_reads_it(raw: bytes, mode: int) -> None:
    wanted = cv2.imdecode(np.frombuffer(raw, np.uint8), mode)
    np.testing.assert_array_equal(decoded(raw, mode), wanted)
    # Whatever follows the end is none of the picture's: cameras fill their buffers up.
    np.testing.assert_array_equal(decoded(raw + bytes(5000), mode), wanted)


@pytest.mark.parametrize("raw", JPEGS.values(), ids=JPEGS.keys())
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_that_is_cut_off_is_refused_whoever_wrote_it(raw: bytes, share: float) -> None:
    whole = raw[: int(len(raw) * share)]
    for cut in (whole, whole + b"\xff\xd9"):
        with pytest.raises(Unopenable, match=SAID):
            decoded(cut, cv2.IMREAD_ANYCOLOR)


@pytest.mark.parametrize("length", [1, 2])
def test_a_jpeg_without_its_end_mark_is_refused(length: int) -> None:
    with pytest.raises(Unopenable, match=SAID):
        decoded(JPEGS["OpenCV, grey"][:-length], cv2.IMREAD_ANYCOLOR)


def test_noise_of_a_sector_in_a_jpeg_is_refused() -> None:
    raw, random = JPEGS["OpenCV, grey"], np.random.default_rng(3)
    for _ in range(50):
        at = int(random.integers(HEADER, len(raw) - 600))
        damaged = raw[:at] + random.bytes(512) + raw[at + 512 :]
        assert cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_ANYCOLOR) is not None
        with pytest.raises(Unopenable, match=SAID):
            decoded(damaged, cv2.IMREAD_ANYCOLOR)


def test_zeros_that_fill_a_buffer_before_the_end_mark_are_no_damage() -> None:
    raw = JPEGS["OpenCV, grey"]
    filled = raw[:-2] + bytes(40) + raw[-2:]
    np.testing.assert_array_equal(
        decoded(filled, cv2.IMREAD_ANYCOLOR), decoded(raw, cv2.IMREAD_ANYCOLOR)
    )
    with pytest.raises(Unopenable, match="extraneous bytes"):
        decoded(raw[:-2] + b"\x11" * 40 + raw[-2:], cv2.IMREAD_ANYCOLOR)


@pytest.mark.parametrize("ending", [".png", ".tiff", ".bmp", ".webp", ".pgm"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_any_other_file_that_is_cut_off_is_refused(ending: str, share: float) -> None:
    raw = by_opencv(ending, GREY)
    with pytest.raises(Unopenable):
        decoded(raw[: int(len(raw) * share)], cv2.IMREAD_ANYCOLOR)


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_one_wrong_bit_in_the_pixels_of_a_png_is_refused(place: int, bit: int) -> None:
    raw = bytearray(by_opencv(".png", GREY))
    raw[60 + place % (len(raw) - 72)] ^= 1 << bit
    with pytest.raises(Unopenable, match=SAID):
        decoded(bytes(raw), cv2.IMREAD_ANYCOLOR)


@pytest.mark.parametrize(("tag", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_a_picture_is_turned_as_exif_says(form: str, tag: int, turns: int) -> None:
    marked = {"tiffinfo": {0x0112: tag}} if form == "TIFF" else {"exif": turned(tag)}
    plain = by_pillow(form, mode="L", **({} if form == "TIFF" else {"exif": turned(1)}))
    upright = decoded(plain, cv2.IMREAD_ANYCOLOR)
    found = decoded(by_pillow(form, mode="L", **marked), cv2.IMREAD_ANYCOLOR)
    np.testing.assert_array_equal(found, np.rot90(upright, turns))


def test_pixels_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(by_opencv(".png", GREY))
    assert np.array_equal(loaded(path, cv2.IMREAD_GRAYSCALE), GREY)


@pytest.mark.parametrize(
    "raw",
    [b"", b"no picture", b"P5 4000000000 4000000000 255\n0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"],
    ids=["nothing", "text", "a size that is refused", "a beginning", "a JPEG's beginning"],
)
def test_what_is_no_picture_is_refused_in_one_way(raw: bytes) -> None:
    with pytest.raises(Unopenable):
        decoded(raw, cv2.IMREAD_ANYCOLOR)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unopenable, match="No such file"):
        loaded(tmp_path / "none.png", cv2.IMREAD_GRAYSCALE)
