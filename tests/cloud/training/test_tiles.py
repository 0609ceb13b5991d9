"""Pictures in tiles, as what is learned from."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud.datasets.dataset import Dataset, Sample
from cloud.datasets.masks import MaskFiles
from cloud.datasets.pictures import load_pictures
from cloud.training.tiles import GOOD_TILES, tiled
from shared.errors import DataError
from shared.features.pixel_settings import AS_IT_IS, PixelSettings, TileSettings
from tests.bundles import BAD, GOOD, picture
from tests.cloud.datasets.makers import sample, save

TILES = PixelSettings(tiles=TileSettings(height=64, width=64, overlap=16))
# Three rows of four tiles, 48 px apart.
HEIGHT, WIDTH = 160, 208


def scene(folder: Path, name: str, *marks: tuple[int, int, int, int]) -> Sample:
    """A part with rectangles (top, left, height, width) that are bright and marked."""
    grain = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 4, (HEIGHT, WIDTH))
    pixels = picture(GOOD, height=HEIGHT, width=WIDTH) + grain.astype(np.uint8)
    marked = np.zeros((HEIGHT, WIDTH), np.uint8)
    for top, left, height, width in marks:
        where = np.s_[top : top + height, left : left + width]
        pixels[where], marked[where] = BAD, 255
    one = sample(save(folder / f"{name}.png", pixels), part=name, target=float(bool(marks)))
    if not marks:
        return one
    return replace(one, mask=MaskFiles((save(folder / "masks" / f"{name}.png", marked),)))


def of(*samples: Sample) -> Dataset:
    return Dataset("scenes", "none", samples)


def test_a_tile_is_defective_where_it_is_marked(tmp_path: Path) -> None:
    found = tiled(of(scene(tmp_path, "a", (100, 150, 20, 20))), TILES).samples
    bad = [one for one in found if one.defective]
    places = [one.tile and one.tile[:2] for one in bad]
    assert places == [(96, 48), (144, 48), (96, 96), (144, 96)]
    assert {one.defect for one in found if not one.defective} == {"good"}
    assert {one.part for one in found} == {"a"}


def test_a_tile_with_the_brim_of_a_defect_is_neither_good_nor_defective(tmp_path: Path) -> None:
    # Fifteen of its pixels reach into the neighbour.
    found = tiled(of(scene(tmp_path, "a", (5, 20, 3, 33))), TILES).samples
    assert [one.tile and one.tile[:2] for one in found if one.defective] == [(0, 0)]
    assert (48, 0) not in {one.tile and one.tile[:2] for one in found}
    assert len(found) == 11


def test_of_the_good_tiles_the_same_few_are_drawn_whatever_else_is_there(tmp_path: Path) -> None:
    fine = PixelSettings(tiles=TileSettings(height=16, width=16, overlap=0))
    first, second = scene(tmp_path, "a"), scene(tmp_path, "b", (100, 100, 30, 30))
    alone = tiled(of(first), fine).samples
    together = tiled(of(second, first), fine).samples
    assert len(alone) == GOOD_TILES
    assert [one for one in together if one.part == "a"] == list(alone)
    assert len({one.tile for one in alone}) == GOOD_TILES


def test_defective_pictures_without_a_mask_are_refused_all_at_once(tmp_path: Path) -> None:
    unmarked = [replace(scene(tmp_path, name, (9, 9, 9, 9)), mask=None) for name in "ab"]
    with pytest.raises(DataError, match="2 defective pictures of scenes have no mask") as caught:
        tiled(of(scene(tmp_path, "c"), *unmarked), TILES)
    assert "--good-only" in caught.value.fix


def test_a_picture_that_tiles_do_not_fit_is_named(tmp_path: Path) -> None:
    small = sample(save(tmp_path / "small.png", picture(GOOD, height=60)), part="s")
    with pytest.raises(DataError, match=r"small\.png is a picture of 64 × 60, smaller") as caught:
        tiled(of(small), TILES)
    assert "choose other tiles" in caught.value.fix


def test_nothing_is_cut_where_nobody_said_so_or_it_was_painted(tmp_path: Path) -> None:
    whole = of(scene(tmp_path, "a"))
    assert tiled(whole, AS_IT_IS) is whole
    painted = replace(whole.samples[0], prepared=True, target=1.0)
    assert tiled(of(painted), TILES).samples == (painted,)


def test_tiles_are_loaded_with_their_own_part_of_the_mask(tmp_path: Path) -> None:
    dataset = tiled(of(scene(tmp_path, "a", (100, 150, 20, 20)), scene(tmp_path, "b")), TILES)
    found = load_pictures(dataset, (1, 64, 64), tmp_path / "cache", TILES)
    assert found.inputs.shape == (len(dataset.samples), 1, 64, 64)
    for row, one in enumerate(dataset.samples):
        assert (found.inputs[row].max() >= BAD - 5) == one.defective
        assert (found.masks[row].max() > 0) == one.defective
    assert found.masked.all()


def test_tiles_of_one_picture_are_other_data_than_the_picture(tmp_path: Path) -> None:
    whole = of(scene(tmp_path, "a"))
    cut = tiled(whole, TILES)
    assert len({whole.content_hash(), cut.content_hash()}) == 2
    fewer = replace(cut, samples=cut.samples[:-1])
    assert fewer.content_hash() != cut.content_hash()
