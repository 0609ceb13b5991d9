"""Defect maps against masks: by the pixel, and by the region."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from cloud.statistics.localisation import MOST_FALSE, MarkedMap, enlarge, localise
from cloud.statistics.metrics import auroc


class Case(NamedTuple):
    found: NDArray[np.float32]
    mask: NDArray[np.bool_]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    levels = st.sampled_from([0.001, 0.1, 0.4, 0.8, 0.999])
    found = draw(hnp.arrays(np.float32, shape, elements=levels.map(np.float32).map(float)))
    return Case(found, draw(hnp.arrays(bool, shape)))


sets = st.lists(cases(), min_size=1, max_size=3)


@given(sets)
def test_pixel_auroc_is_the_auroc_of_all_pixels(pictures: list[Case]) -> None:
    truth = np.concatenate([case.mask.ravel() for case in pictures])
    assume(truth.any() and not truth.all())
    found = localise(MarkedMap(*case) for case in pictures)
    assert found is not None
    scores = np.concatenate([case.found.ravel() for case in pictures])
    assert found.pixel_auroc == pytest.approx(auroc(scores, truth))


def pro_by_definition(pictures: list[Case]) -> float:
    """Every threshold by itself, as Bergmann et al. describe it."""
    regions = []
    for case in pictures:
        count, where = cv2.connectedComponents(case.mask.astype(np.uint8), connectivity=8)
        regions += [(case.found, where == number) for number in range(1, count)]
    good = np.concatenate([case.found[~case.mask] for case in pictures])
    thresholds = [2.0, *sorted({float(v) for case in pictures for v in case.found.flat})[::-1]]
    false = [float((good >= t).mean()) for t in thresholds]
    overlap = [float(np.mean([(m[where] >= t).mean() for m, where in regions])) for t in thresholds]
    grid = np.linspace(0, MOST_FALSE, 20001)
    # Where the curve rises straight up, its upper end counts.
    steep = np.array(false) + 1e-9 * np.arange(len(false))
    return float(np.interp(grid, steep, overlap).mean())


@given(sets)
def test_pro_is_the_mean_overlap_of_regions_up_to_the_limit(pictures: list[Case]) -> None:
    truth = np.concatenate([case.mask.ravel() for case in pictures])
    assume(truth.any() and not truth.all())
    found = localise(MarkedMap(*case) for case in pictures)
    assert found is not None
    assert found.pro == pytest.approx(pro_by_definition(pictures), abs=2e-3)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:30, 2:30] = True
    mask[36:38, 36:38] = True
    seen = np.full((40, 40), 0.01, np.float32)
    seen[2:30, 2:30] = 0.9
    found = localise([MarkedMap(seen, mask)])
    assert found is not None
    assert found.regions == 2
    # Half of the regions are found at once, the other half lies level with the good pixels.
    assert found.pro == pytest.approx(0.5 + 0.5 * MOST_FALSE / 2)
    assert found.pixel_auroc > 0.99


def test_the_truth_itself_is_perfect_and_a_blank_map_is_chance() -> None:
    mask = np.zeros((32, 32), bool)
    mask[5:9, 5:20] = True
    perfect = localise([MarkedMap(mask.astype(np.float32), mask)])
    blank = localise([MarkedMap(np.full((4, 4), 0.3, np.float32), mask)])
    assert perfect is not None
    assert blank is not None
    assert (perfect.pixel_auroc, perfect.pro) == pytest.approx((1.0, 1.0))
    assert (blank.pixel_auroc, blank.pro) == pytest.approx((0.5, MOST_FALSE / 2))


def test_a_coarse_map_is_compared_at_the_masks_own_size() -> None:
    seen = np.zeros((4, 4), np.float32)
    seen[1, 2] = 0.9
    assert enlarge(seen, 64, 96).shape == (64, 96)
    mask = enlarge(seen, 64, 96) > 0.5
    found = localise([MarkedMap(seen, mask)])
    assert found is not None
    assert found.pixel_auroc == pytest.approx(1.0)


@pytest.mark.parametrize("everywhere", [True, False])
def test_where_all_pixels_are_of_one_kind_nothing_can_be_said(everywhere: bool) -> None:
    seen = np.full((4, 4), 0.3, np.float32)
    assert localise([MarkedMap(seen, np.full((8, 8), everywhere))]) is None
    assert localise([]) is None
