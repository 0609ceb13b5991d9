"""Pictures that OpenCV can't make, whatever way it says so."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.features.picture_file import decoded, loaded
from shared.opener import Unopenable


def test_pixels_come_back_as_they_were(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    assert np.array_equal(loaded(path, cv2.IMREAD_GRAYSCALE), pixels)


@pytest.mark.parametrize(
    "raw",
    [b"", b"no picture", b"P5 4000000000 4000000000 255\n0", b"\x89PNG\r\n\x1a\n"],
    ids=["nothing", "text", "a size that is refused", "a beginning"],
)
def test_what_is_no_picture_is_refused_in_one_way(raw: bytes) -> None:
    with pytest.raises(Unopenable):
        decoded(raw, cv2.IMREAD_ANYCOLOR)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unopenable, match="No such file"):
        loaded(tmp_path / "none.png", cv2.IMREAD_GRAYSCALE)
