"""Kinds of disturbance: the same for the same seed, worse with their strength."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.features.optics import Pixels
from shared.features.perturbations import PERTURBATIONS, Perturbation
from tests.cloud.datasets.makers import part

kinds = pytest.mark.parametrize("kind", PERTURBATIONS, ids=lambda kind: str(kind.name))


def harm(kind: Perturbation, strength: int, seed: int) -> float:
    """Mean change in grey levels over some parts."""
    shown = [part(number, defective=True, size=240) for number in range(3)]
    changes = [
        np.abs(kind.on(one, strength, seed).astype(int) - one.astype(int)).mean() for one in shown
    ]
    return float(np.mean(changes))


@kinds
@given(st.integers(0, 2**32), st.integers(0, 2**31), st.booleans())
@settings(max_examples=6, deadline=None)
def test_the_same_seed_gives_the_same_picture_of_the_same_shape(
    kind: Perturbation, number: int, seed: int, coloured: bool
) -> None:
    picture: Pixels = part(number)
    if coloured:
        picture = np.stack([picture, picture[::-1], picture.T], axis=2)
    before = picture.copy()
    for strength in (0, 1, 2, 3):
        one, other = kind.on(picture, strength, seed), kind.on(picture, strength, seed)
        assert one.dtype == np.uint8
        assert one.shape == picture.shape
        assert np.array_equal(one, other)
    assert np.array_equal(picture, before), "the picture itself was changed"


@kinds
def test_strength_0_changes_nothing_and_each_further_one_more(kind: Perturbation) -> None:
    found = [harm(kind, strength, seed=4) for strength in (0, 1, 2, 3)]
    assert found[0] == 0
    assert found[0] < found[1] < found[2] < found[3]


@pytest.mark.parametrize("name", ["specks", "uneven light"])
def test_what_a_plant_has_once_is_the_same_for_every_picture(name: str) -> None:
    (kind,) = (one for one in PERTURBATIONS if one.name == name)
    grey, darker = np.full((90, 90), 120, np.uint8), np.full((90, 90), 100, np.uint8)
    one, other = (kind.on(p, 3, 1).astype(float) / p.mean() for p in (grey, darker))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95
    assert not np.array_equal(kind.on(grey, 3, 1), kind.on(grey, 3, 2))


@pytest.mark.parametrize("name", ["shift", "noise", "rotation"])
def test_what_differs_from_part_to_part_is_drawn_from_the_picture_itself(name: str) -> None:
    (kind,) = (one for one in PERTURBATIONS if one.name == name)
    crossed = [np.full((40, 40), shade, np.uint8) for shade in range(100, 110)]
    for one in crossed:
        one[10:14, 5:35] = 255
    # Where it became brighter and where darker: of the shade itself nothing is left.
    changes = {np.sign(kind.on(p, 3, 0).astype(int) - p).tobytes() for p in crossed}
    assert len(changes) > 1


def test_lengths_are_shares_of_the_shorter_side() -> None:
    (blur,) = (one for one in PERTURBATIONS if one.name == "motion blur")
    wide = np.zeros((100, 400), np.uint8)
    wide[:, 200] = 255
    reached = np.flatnonzero(blur.on(wide, 3, 0)[50])
    assert len(reached) == pytest.approx(4, abs=2)


def test_names_are_told_apart_and_strengths_have_units() -> None:
    assert len({kind.name for kind in PERTURBATIONS}) == len(PERTURBATIONS)
    assert all(kind.unit for kind in PERTURBATIONS)
