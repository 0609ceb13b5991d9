"""What training finds out of its pictures by itself, and says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import load_pictures
from cloud.datasets.pixel_survey import survey
from shared.errors import DataError
from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from tests.cloud.datasets.makers import part, sample

SIZE = (1, 64, 64)


def of(folder: Path, pictures: dict[str, Any]) -> Dataset:
    for name, pixels in pictures.items():
        assert cv2.imwrite(str(folder / name), pixels)
    return Dataset("made", "none", tuple(sample(folder / name, part=name) for name in pictures))


def deep(seed: int, bits: int) -> Any:
    return part(seed).astype(np.uint16) << (bits - 8)


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_depth_is_found_out_from_the_whole_set_and_the_network_sees_the_same(
    tmp_path: Path, bits: int, ending: str
) -> None:
    pictures = {f"{n}.{ending}": deep(n, bits) for n in range(3)}
    # One bright pixel of one picture tells.
    pictures[f"1.{ending}"][0, 0] = (1 << bits) - 1
    dataset = of(tmp_path, pictures)
    found = survey(dataset, AS_IT_IS, 1)
    assert found.settings.depth == bits
    assert found.notes[0].startswith(f"{bits} bits: the brightest of 3 pictures has the value ")
    seen = load_pictures(dataset, SIZE, tmp_path / "cache", found.settings).inputs
    for row, n in ((0, 0), (2, 2)):
        assert np.abs(seen[row, 0].astype(int) - part(n)).max() <= 1


def test_pictures_of_8_bits_need_no_setting_and_no_word(tmp_path: Path) -> None:
    dataset = of(tmp_path, {"0.png": part(0), "1.jpg": part(1), "2.bmp": part(2)})
    found = survey(dataset, AS_IT_IS, 1)
    assert found.settings == AS_IT_IS
    assert not found.notes


def test_8_bits_that_are_stored_in_16_are_8_bits(tmp_path: Path) -> None:
    dataset = of(tmp_path, {"0.png": part(0).astype(np.uint16), "1.png": part(1)})
    assert survey(dataset, AS_IT_IS, 1).settings.depth == 8


@pytest.mark.parametrize(("white", "wanted"), [(1.0, 1.0), (900.0, 900.0)])
def test_floats_are_scaled_by_the_sets_brightest(
    tmp_path: Path, white: float, wanted: float
) -> None:
    shares = part(0).astype(np.float32) / 255
    shares[0, 0] = 1
    dataset = of(tmp_path, {"0.tiff": shares * np.float32(white), "1.tiff": shares * 0.5})
    found = survey(dataset, AS_IT_IS, 1).settings
    assert found.depth == "float"
    assert found.white == pytest.approx(wanted)
    seen = load_pictures(dataset, SIZE, tmp_path / "cache", found).inputs
    assert np.abs(seen[0, 0].astype(int)[1:] - part(0)[1:]).max() <= 1


def test_a_set_of_two_depths_is_refused_with_one_file_of_each(tmp_path: Path) -> None:
    dataset = of(tmp_path, {"0.png": part(0), "1.png": deep(1, 12), "2.png": deep(2, 12)})
    with pytest.raises(DataError, match=r"1 of 8 bits \(say 0\.png\), 2 of more than 8 bits"):
        survey(dataset, AS_IT_IS, 1)


def test_a_depth_that_was_said_holds_and_a_picture_beyond_it_is_named(tmp_path: Path) -> None:
    dataset = of(tmp_path, {"0.png": deep(0, 10)})
    assert survey(dataset, PixelSettings(depth=12), 1).settings.depth == 12
    with pytest.raises(DataError, match=r"0\.png is a picture .*wanted are whole numbers of 8"):
        load_pictures(dataset, SIZE, tmp_path / "cache", PixelSettings(depth=8))


def test_colour_and_transparency_that_are_dropped_are_said(tmp_path: Path) -> None:
    tinted = np.dstack([part(0) // 2, part(0), part(0)])
    alpha = np.dstack([part(1)] * 3 + [np.full(part(1).shape, 255, np.uint8)])
    dataset = of(tmp_path, {"0.png": tinted, "1.png": alpha, "2.jpg": np.dstack([part(2)] * 3)})
    see_through, colour = survey(dataset, AS_IT_IS, 1).notes
    assert see_through == "transparency is left out: 1 pictures have some"
    assert colour.startswith("colour is dropped: 1 of 3 pictures looked at have some, ")
    assert survey(dataset, AS_IT_IS, 3).notes == (see_through,)


def test_another_setting_is_another_cache(tmp_path: Path) -> None:
    dataset = of(tmp_path, {"0.png": deep(0, 10)})
    for depth in (10, 12):
        load_pictures(dataset, SIZE, tmp_path / "cache", PixelSettings(depth=depth))
    assert len(list((tmp_path / "cache").iterdir())) == 2
