"""Masks, as tools save them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloud.datasets.mask_pixels import mask_pixels
from cloud.datasets.masks import MaskFiles
from shared.errors import DataError
from tests.cloud.datasets.makers import save
from tests.cloud.datasets.readers.reading import mask, save_mask

BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)
MARKED = mask() > 0


@pytest.mark.parametrize(
    "colours", [(BLACK, WHITE), (BLACK, RED), (WHITE, BLACK), (BLACK, BLACK), (BLACK, (1, 1, 1))]
)
def test_of_a_palette_the_index_counts_and_not_the_colour(
    tmp_path: Path, colours: tuple[tuple[int, int, int], ...]
) -> None:
    picture = Image.fromarray(MARKED.astype(np.uint8), "P")
    picture.putpalette([value for colour in colours for value in colour])
    picture.save(tmp_path / "m.png")
    assert (MaskFiles((tmp_path / "m.png",)).pixels(64, 64) == MARKED).all()


def test_transparency_marks_nothing_by_itself_and_all_where_there_is_nothing_else(
    tmp_path: Path,
) -> None:
    spots, whole = mask(), np.full((64, 64), 255, np.uint8)
    save(tmp_path / "colours.png", np.dstack([spots, spots, spots, whole]))
    save(tmp_path / "alpha.png", np.dstack([whole, whole, whole, spots]))
    for name in ("colours.png", "alpha.png"):
        assert (MaskFiles((tmp_path / name,)).pixels(64, 64) == MARKED).all()


def test_a_jpegs_seam_of_greys_is_halved(tmp_path: Path) -> None:
    path = save_mask(tmp_path / "m.jpg", mask((200, 200), (50, 60, 80, 70)))
    found = MaskFiles((path,)).pixels(200, 200)
    assert found.sum() == pytest.approx(80 * 70, rel=0.02)


def test_masks_of_sixteen_bit_are_whole(tmp_path: Path) -> None:
    wide = MARKED.astype(np.uint16) * 256
    save(tmp_path / "m.png", wide)  # type: ignore[arg-type]
    assert (mask_pixels(tmp_path / "m.png") != 0).sum() == 60


@pytest.mark.parametrize("kind", ["P", "L"])
def test_a_cut_mask_is_told_by_name(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8)
    picture = Image.fromarray(noise, kind)
    if kind == "P":
        picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(tmp_path / "m.png")
    raw = (tmp_path / "m.png").read_bytes()
    (tmp_path / "m.png").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"m\.png is not a mask that can be read"):
        MaskFiles((tmp_path / "m.png",)).pixels(64, 64)


def test_a_mask_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        MaskFiles((tmp_path / "gone.png",)).pixels(64, 64)
