"""How far features lie from what the network was shown, and what a bundle keeps of that."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import TAIL
from shared.errors import BundleError, BundleMismatch
from shared.features.novelty import NOVELTY, Novelty, summary
from tests.bundles import FEATURES, knowing, make_bundle

SHAPE = (FEATURES, 4, 4)
PAIR = "0" * 16


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("novelty")
    return knowing(make_bundle(folder / "tiny"), folder / "known", 100, 150)


def symbols(count: int) -> st.SearchStrategy[NDArray[np.int8]]:
    return arrays(np.int8, (count, *SHAPE), elements=st.integers(-127, 127))


def some(seed: int) -> Novelty:
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(3, 2 * FEATURES)).astype(np.float32)
    return Novelty(PAIR, 0.01, directions, rng.normal(size=3).astype(np.float32))


@given(symbols(5), st.integers(0, 99))
def test_pictures_together_lie_as_far_as_each_alone(several: NDArray[np.int8], seed: int) -> None:
    novelty = some(seed)
    alone = [novelty.distance(one) for one in several]
    np.testing.assert_allclose(novelty.distances(several), alone, rtol=1e-4, atol=1e-3)
    assert min(alone) >= 0


@given(symbols(3))
def test_the_summary_is_mean_and_spread_of_each_channel(several: NDArray[np.int8]) -> None:
    found = summary(several)
    exact = several.astype(np.float64).reshape(3, FEATURES, -1)
    np.testing.assert_allclose(found[:, :FEATURES], exact.mean(axis=2), atol=1e-3)
    np.testing.assert_allclose(found[:, FEATURES:], exact.std(axis=2), atol=0.02)


@given(st.integers(0, 99))
def test_numbers_come_back_as_they_were_written(seed: int) -> None:
    novelty = some(seed)
    again = Novelty.from_bytes(novelty.to_bytes(), PAIR, FEATURES)
    assert again is not None
    np.testing.assert_array_equal(again.directions, novelty.directions)
    np.testing.assert_array_equal(again.centre, novelty.centre)
    assert (again.pair, again.share) == (PAIR, 0.01)
    assert novelty.to_bytes() == again.to_bytes()


def test_a_bundle_without_such_numbers_knows_no_novelty(tmp_path: Path) -> None:
    assert make_bundle(tmp_path / "tiny").novelty is None


@pytest.mark.parametrize("name", ["again", "again.zip"])
def test_a_bundle_gets_and_loses_its_numbers_and_stays_the_same_pair(
    known: Bundle, tmp_path: Path, name: str
) -> None:
    novelty = known.novelty
    assert novelty is not None
    there = amend_bundle(known, {}, tmp_path / name)
    assert there.read(NOVELTY) == novelty.to_bytes()
    gone = amend_bundle(there, {}, files={NOVELTY: None})
    assert (gone.path, gone.novelty, gone.manifest.pair) == (there.path, None, known.manifest.pair)
    back = amend_bundle(gone, {}, files={NOVELTY: novelty.to_bytes()})
    assert back.id == known.id


def arrays_of(
    *, pair: str = PAIR, share: float | str = 0.01, directions: object = None, centre: object = None
) -> bytes:
    """A file with these arrays, and others that hold together."""
    sound, stream = some(0), io.BytesIO()
    np.savez(
        stream,
        pair=np.asarray(pair),
        share=np.asarray(share),
        directions=np.asarray(sound.directions if directions is None else directions),
        centre=np.asarray(sound.centre if centre is None else centre),
    )
    return stream.getvalue()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "can't be read"),
        (b"words", "can't be read"),
        (some(0).to_bytes()[:-40], "can't be read"),
        (arrays_of(centre=np.zeros(2, np.float32)), "4 channels"),
        (arrays_of(directions=np.zeros((3, 6), np.float32)), r"shape \(3, 6\)"),
        (arrays_of(directions=np.full((3, 8), np.nan)), "not a number"),
        (arrays_of(centre=np.full(3, np.inf)), "not a number"),
        (arrays_of(share=2.0), "not a number"),
        (arrays_of(share="much"), "can't be read"),
    ],
)
def test_numbers_that_do_not_hold_together_are_one_clear_error(raw: bytes, told: str) -> None:
    with pytest.raises(BundleError, match=told) as caught:
        Novelty.from_bytes(raw, PAIR, FEATURES)
    assert NOVELTY in caught.value.message
    assert "certify it again" in caught.value.fix


def test_another_pairs_numbers_are_none(known: Bundle, tmp_path: Path) -> None:
    assert Novelty.from_bytes(arrays_of(pair="1" * 16), PAIR, FEATURES) is None
    assert Novelty.from_bytes(arrays_of(pair="1" * 16), PAIR, FEATURES + 1) is None
    other = amend_bundle(known, {}, tmp_path / "other", {TAIL: known.read(TAIL) + b"\0"})
    assert other.manifest.pair != known.manifest.pair
    assert other.novelty is None


def test_a_file_that_was_damaged_on_its_way_is_told(known: Bundle, tmp_path: Path) -> None:
    copy = amend_bundle(known, {}, tmp_path / "copy")
    (copy.path / NOVELTY).write_bytes(b"words")
    with pytest.raises(BundleMismatch, match=r"novelty\.npz has sha256"):
        _ = Bundle.open(copy.path).novelty
