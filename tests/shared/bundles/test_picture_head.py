"""A head asked of whole pictures, and of their tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.bundles.picture_head import PictureHead, input_tiles
from shared.features.depth import WrongPixels
from shared.features.novelty import summary
from shared.features.pixel_settings import PixelSettings, TileSettings
from shared.runtime.base import Array, open_runtime
from tests.bundles import BAD, GOOD, UNSURE_BAD, UNSURE_GOOD, make_bundle, picture

TILES = PixelSettings(tiles=TileSettings(height=64, width=64, overlap=16))
SHAPE = (1, 64, 64)


class BlankHead:
    """Scores what is all black as no number, else as the head behind it does."""

    name, device = "blank", "CPU"

    def __init__(self, bundle: Bundle) -> None:
        self._head = open_runtime("onnx", bundle.read(HEAD))

    def run(self, inputs: Array) -> Sequence[Array]:
        features, found, score = self._head.run(inputs)
        return [features, found, score if inputs.any() else np.full_like(score, np.nan)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def head(bundle: Bundle, settings: PixelSettings = TILES) -> PictureHead:
    return PictureHead(BlankHead(bundle), bundle.codec, SHAPE, settings)


def large(*spots: tuple[int, int, int], ground: int = GOOD) -> NDArray[np.uint8]:
    """160 × 208, three rows of four tiles, with squares of 64: top, left, brightness."""
    pixels = picture(ground, height=160, width=208)
    for top, left, brightness in spots:
        pixels[top : top + 64, left : left + 64] = picture(brightness) if brightness else 0
    return pixels


def test_the_most_suspicious_tile_speaks_for_the_picture(bundle: Bundle) -> None:
    found = head(bundle).look(large((0, 48, UNSURE_GOOD), (96, 144, BAD)))
    alone = head(bundle, PixelSettings()).look(picture(BAD))
    assert found.score == alone.score
    np.testing.assert_array_equal(found.symbols, alone.symbols)
    np.testing.assert_array_equal(found.picture, picture(BAD)[np.newaxis])
    assert found.spoke == 11
    assert found.tile == pytest.approx((144 / 208, 96 / 160, 1.0, 1.0))
    assert alone.tile is None
    assert alone.spoke == -1


def test_a_defect_that_vanishes_in_the_small_picture_is_seen_in_its_tile(bundle: Bundle) -> None:
    pixels = large((48, 48, BAD))
    assert head(bundle, PixelSettings()).look(pixels).score < 0.2
    assert head(bundle).look(pixels).score > 0.8


def test_a_tile_whose_score_is_no_number_speaks_before_any_defect(bundle: Bundle) -> None:
    found = head(bundle).look(large((0, 0, BAD), (96, 144, 0)))
    assert math.isnan(found.score)
    assert found.spoke == 11


def test_maps_of_all_tiles_are_one(bundle: Bundle) -> None:
    found = head(bundle).look(large((48, 96, BAD))).defect_map
    assert found.shape == (20, 26)
    np.testing.assert_allclose(found[9, 13:18], 0.52, atol=0.02)
    np.testing.assert_allclose(found[9, 1:6], 0.42, atol=0.02)


def test_every_tile_says_how_far_it_is_from_what_was_shown(bundle: Bundle) -> None:
    found = head(bundle).look(large((48, 96, UNSURE_BAD)))
    assert found.summaries.shape == (12, 8)
    np.testing.assert_array_equal(
        found.summaries[found.spoke], summary(found.symbols[np.newaxis])[0]
    )


def test_inputs_are_what_the_head_sees_of_a_picture(bundle: Bundle) -> None:
    pixels = large((96, 144, BAD))
    inputs = input_tiles(pixels, SHAPE, TILES)
    assert inputs.shape == (12, 1, 64, 64)
    found = head(bundle).look(pixels)
    np.testing.assert_array_equal(inputs[found.spoke], found.picture)
    assert input_tiles(pixels, SHAPE, PixelSettings()).shape == (1, 1, 64, 64)


def test_tiles_of_another_size_are_brought_to_the_networks_input(bundle: Bundle) -> None:
    twice = PixelSettings(tiles=TileSettings(height=128, width=128, overlap=0))
    found = head(bundle, twice).look(np.kron(picture(BAD), np.ones((2, 4), np.uint8)))
    assert found.picture.shape == SHAPE
    assert found.defect_map.shape == (8, 16)


def test_a_picture_that_tiles_do_not_fit_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(WrongPixels, match="smaller than its tiles"):
        head(bundle).look(picture(GOOD, height=48, width=208))
