"""Pictures' sizes from their headers."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cloud.datasets.label_fault import LabelFault
from cloud.datasets.picture_size import picture_size
from shared.features.picture_file import loaded
from tests.cloud.datasets.makers import save


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "webp", "pgm", "jfif"])
def test_the_header_has_the_size_of_the_pixels(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"0.{ending}"
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(path)
    assert picture_size(path) == loaded(path, cv2.IMREAD_GRAYSCALE).shape == (48, 64)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_turned_picture_has_the_size_in_which_it_is_decoded(
    tmp_path: Path, ending: str, orientation: int
) -> None:
    path = tmp_path / f"0.{ending}"
    picture = Image.fromarray(np.zeros((48, 64), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    assert picture_size(path) == loaded(path, cv2.IMREAD_GRAYSCALE).shape


@pytest.mark.parametrize("raw", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_a_fault(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "0.png"
    path.write_bytes(raw)
    with pytest.raises(LabelFault, match="not a picture"):
        picture_size(path)


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(LabelFault, match="can't be read"):
        picture_size(tmp_path / "0.png")


def test_a_picture_of_a_gigapixel_is_measured_without_its_pixels(tmp_path: Path) -> None:
    path = save(tmp_path / "0.png", np.zeros((2, 2), np.uint8))
    raw = bytearray(path.read_bytes())
    raw[16:24] = (20_000).to_bytes(4, "big") + (8_000).to_bytes(4, "big")
    # The header's own sum comes after its 13 bytes.
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    path.write_bytes(raw)
    assert picture_size(path) == (8_000, 20_000)
