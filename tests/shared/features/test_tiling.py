"""Where tiles lie, and what was found of them on the whole picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contracts import TileShares
from shared.features.depth import WrongPixels
from shared.features.pixel_settings import AS_IT_IS, PixelSettings, TileSettings
from shared.features.straightening import seen_size, straightened
from shared.features.tiling import (
    LONGEST,
    Tile,
    laid_over,
    laid_together,
    require_tiles,
    tiles_of,
)

sides = st.integers(16, 90)


@given(sides, sides, st.floats(0, 0.5), st.integers(0, 300), st.integers(0, 300))
def test_what_is_no_longer_than_the_overlap_lies_whole_in_a_tile(
    height: int, width: int, share: float, more_height: int, more_width: int
) -> None:
    overlap = int(share * min(height, width))
    how = TileSettings(height=height, width=width, overlap=overlap, most=10_000)
    tall, wide = height + more_height, width + more_width
    tiles = tiles_of(tall, wide, how)
    seen = np.zeros((tall, wide), bool)
    for tile in tiles:
        assert 0 <= tile.left <= wide - width
        assert 0 <= tile.top <= tall - height
        tile.of(seen)[:] = True
    assert seen.all()
    length = max(overlap, 1)
    for axis, side, whole in ((1, height, tall), (0, width, wide)):
        starts = {tile[axis] for tile in tiles}
        for place in range(whole - length + 1):
            assert any(at <= place and place + length <= at + side for at in starts)


def test_no_more_tiles_than_are_needed_are_judged() -> None:
    how = TileSettings(height=320, width=320, overlap=32)
    assert len(tiles_of(320, 320, how)) == 1
    assert len(tiles_of(320, 608, how)) == 2
    assert len(tiles_of(320, 609, how)) == 3
    # 24 megapixels.
    assert len(tiles_of(4000, 6000, how)) == 14 * 21


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((300, 4000), "4000 × 300, smaller than its tiles of 320 × 320"),
        ((4000, 6000), "294 tiles; at most 100 are judged"),
    ],
)
def test_a_picture_that_tiles_do_not_fit_is_refused(size: tuple[int, int], said: str) -> None:
    how = TileSettings(height=320, width=320, overlap=32, most=100)
    with pytest.raises(WrongPixels, match=said):
        tiles_of(*size, how)
    require_tiles(*size, AS_IT_IS)
    with pytest.raises(WrongPixels, match=said):
        require_tiles(*size, PixelSettings(tiles=how))


def test_a_picture_is_cut_into_tiles_once_it_is_cut_out_and_turned() -> None:
    how = TileSettings(height=64, width=128, overlap=0)
    with pytest.raises(WrongPixels, match="64 × 128, smaller"):
        require_tiles(64, 128, PixelSettings(tiles=how, turn=90))
    require_tiles(128, 64, PixelSettings(tiles=how, turn=90))


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([0, 90, 180, 270]),
    st.sampled_from(
        [
            {},
            {"crop": (0.1, 0.2, 0.7, 0.9)},
            {"corners": ((0.1, 0.1), (0.6, 0.2), (0.55, 0.9), (0.05, 0.8))},
        ]
    ),
)
def test_the_size_of_what_is_seen_is_known_before_it_is_cut_out(
    height: int, width: int, turn: Any, cut: dict[str, Any]
) -> None:
    settings = PixelSettings(turn=turn, **cut)
    seen = straightened(np.ones((height, width), np.uint8), settings)
    assert seen.shape == seen_size(height, width, settings)


def test_tiles_overlap_by_half_at_most() -> None:
    with pytest.raises(ValidationError, match="more than half of a tile; at most 16"):
        TileSettings(height=32, width=64, overlap=17)


def test_a_bundle_without_tiles_says_nothing_of_them_to_agents_before_them() -> None:
    assert "tiles" not in PixelSettings(depth=12).model_dump(mode="json")
    how = TileSettings(height=32, width=64, overlap=4)
    said = PixelSettings(tiles=how).model_dump(mode="json")
    assert PixelSettings.model_validate(said).tiles == how


def test_maps_of_tiles_lie_where_their_tiles_do_and_the_most_suspicious_counts() -> None:
    tiles = (Tile(0, 0, 64, 64), Tile(56, 0, 64, 64))
    found = laid_together([np.full((8, 8), 0.2), np.full((8, 8), 0.7)], tiles, 64, 120)
    assert found.shape == (8, 15)
    np.testing.assert_allclose(found[:, :7], 0.2)
    np.testing.assert_allclose(found[:, 7:], 0.7)


def test_a_map_that_is_no_number_stays_suspicious() -> None:
    found = laid_together([np.full((8, 8), np.nan, np.float32)], (Tile(0, 0, 64, 64),), 64, 64)
    assert found.min() == 1.0


def test_the_map_of_one_tile_says_nothing_of_the_rest() -> None:
    whole = laid_over(np.full((8, 8), 0.5, np.float32), (0.5, 0.0, 0.75, 1.0))
    assert whole.shape == (8, 32)
    assert whole[:, 16:24].min() == 0.5
    assert not whole[:, :16].any()
    assert not whole[:, 24:].any()


@st.composite
def _two_places(draw: st.DrawFn) -> tuple[float, float]:
    """As far apart as the wire wants them."""
    first = draw(st.floats(0, 0.999))
    return first, draw(st.floats(first + 2e-4, 1))


@st.composite
def shares(draw: st.DrawFn) -> TileShares:
    """As a box may send them."""
    left, right = draw(_two_places())
    top, bottom = draw(_two_places())
    return left, top, right, bottom


@given(shares())
def test_whatever_shares_a_box_sends_its_map_is_small_and_lies_somewhere(said: TileShares) -> None:
    whole = laid_over(np.ones((40, 40), np.float32), said)
    assert max(whole.shape) <= LONGEST
    assert whole.max() == pytest.approx(1.0)
