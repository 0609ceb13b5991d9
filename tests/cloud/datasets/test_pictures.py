"""Pictures of a data set, prepared for training and kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud.datasets.dataset import Dataset
from cloud.datasets.masks import MaskFiles
from cloud.datasets.pictures import load_pictures
from edge.camera.decoding import decode_picture
from shared.errors import CameraError, DataError
from tests.cloud.datasets.makers import part, sample, save


def dataset(*rows: tuple[Path, float]) -> Dataset:
    samples = (sample(path, part=str(path), target=target) for path, target in rows)
    return Dataset("made up", "none", tuple(samples))


def test_prepared_pictures_are_kept_until_a_file_changes(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", part(1))
    wanted = dataset((image, 0.0))
    first = np.array(load_pictures(wanted, (1, 64, 64), tmp_path / "cache").inputs)
    np.testing.assert_array_equal(first[0, 0], part(1))
    load_pictures(wanted, (1, 64, 64), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    save(image, part(2))
    os.utime(image, ns=(1, 1))
    again = load_pictures(wanted, (1, 64, 64), tmp_path / "cache").inputs
    np.testing.assert_array_equal(again[0, 0], part(2))


def test_masks_are_coarse_and_known_where_the_set_has_some(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", part(1))
    pixels = np.zeros((64, 64), np.uint8)
    pixels[8:16, 16:32] = 255
    pixels[40, :] = 255
    mask = save(tmp_path / "mask.png", pixels)
    bad, unmasked = sample(image, part="b", target=1.0), sample(image, part="c", target=1.0)
    good = sample(image, part="a")
    rows = (good, replace(bad, mask=MaskFiles((mask,))), unmasked)
    found = load_pictures(Dataset("m", "none", rows), (1, 64, 64), tmp_path / "cache")
    assert found.masked.tolist() == [True, True, False]
    assert found.masks.shape == (3, 8, 8)
    assert found.masks[0].sum() == 0
    assert found.masks[1][1].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    # A crack one pixel wide fills an eighth of its places; it counts half.
    assert found.masks[1][5].tolist() == pytest.approx([0.5] * 8)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", part(1))
    image.write_bytes(image.read_bytes()[:30])
    with pytest.raises(DataError, match=r"a\.png is not a picture"):
        load_pictures(dataset((image, 0.0)), (1, 64, 64), tmp_path / "cache")


@pytest.mark.parametrize("harm", ["cut off", "damaged"])
def test_a_jpeg_that_a_box_would_refuse_is_no_good_part_for_training(
    tmp_path: Path, harm: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
    image = save(tmp_path / "a.jpg", noise)
    raw, half = image.read_bytes(), image.stat().st_size // 2
    image.write_bytes(
        raw[:half] if harm == "cut off" else raw[:half] + bytes(range(256)) + raw[half + 256 :]
    )
    with pytest.raises(DataError, match=r"a\.jpg is not a picture .*cut off or damaged"):
        load_pictures(dataset((image, 0.0)), (1, 64, 64), tmp_path / "cache")
    with pytest.raises(CameraError, match=r"a\.jpg can't be read .*cut off or damaged"):
        decode_picture(image.read_bytes(), "as_is", image.name)
