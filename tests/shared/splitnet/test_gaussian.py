"""What good parts look like, as sums that add up and a head that judges by them."""

from __future__ import annotations

import copy
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.errors import TrainingError
from shared.runtime.base import RuntimeOptions, open_runtime
from shared.splitnet.export import export_tail
from shared.splitnet.gaussian import FeatureSums, GaussianHead, Scale
from shared.splitnet.good_only import (
    Ends,
    judge_logits,
    judging_by_good_parts,
    set_scales,
    sum_features,
)
from shared.splitnet.network import Architecture, SplitNet

pytestmark = pytest.mark.torch

Features = NDArray[np.float32]


def drawn(count: int, seed: int, *, channels: int = 5, side: int = 4) -> Features:
    """Correlated features whose mean differs from place to place, (count, channels, side, side)."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(7).normal(0, 1, (channels, channels))
    place = np.random.default_rng(8).normal(0, 2, (channels, side, side))
    own = rng.normal(0, 1, (count, channels, side, side))
    return np.asarray(place + np.einsum("ij,njhw->nihw", mix, own), np.float32)


def same(one: FeatureSums, other: FeatureSums) -> bool:
    return (
        one.count == other.count
        and np.array_equal(one.total, other.total)
        and np.array_equal(one.products, other.products)
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cuts=st.lists(st.integers(0, 90), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_the_sums_of_sites_add_up_to_those_of_all_pictures_to_the_last_bit(
    seed: int, cuts: list[int], order: random.Random
) -> None:
    features = drawn(90, seed)
    bounds = [0, *sorted(cuts), 90]
    sites = [FeatureSums.of(features[start:end]) for start, end in pairwise(bounds)]
    order.shuffle(sites)
    merged = sites[0]
    for site in sites[1:]:
        merged = merged + site
    assert same(merged, FeatureSums.of(features))


def test_the_gaussian_is_that_of_numpy() -> None:
    features = drawn(200, 1).astype(np.float64)
    gaussian = FeatureSums.of(features.astype(np.float32)).gaussian(shrinkage=0.0)
    mean = features.mean(axis=0)
    assert gaussian.mean == pytest.approx(mean, abs=0.01)
    rows = (features - mean).transpose(0, 2, 3, 1).reshape(-1, 5)
    inverse = np.linalg.inv(rows.T @ rows / (199 * 16))
    assert gaussian.whitening.T @ gaussian.whitening == pytest.approx(inverse, rel=0.02)


def test_shrinkage_bounds_what_a_direction_without_spread_can_say() -> None:
    features = drawn(50, 2)
    features[:, 4] = features[:, 3]
    sums = FeatureSums.of(features)
    strict, calm = sums.gaussian(shrinkage=1e-6), sums.gaussian(shrinkage=0.1)
    odd = np.array([0, 0, 0, 1, -1], np.float32)
    assert np.linalg.norm(strict.whitening @ odd) > 50 * np.linalg.norm(calm.whitening @ odd)


@pytest.mark.parametrize("count", [1, 20])
def test_pictures_that_do_not_differ_have_no_gaussian(count: int) -> None:
    sums = FeatureSums.of(np.repeat(drawn(1, 3), count, axis=0))
    with pytest.raises(TrainingError, match=rf"the features of {count} good pictures do not"):
        sums.gaussian()


def test_sums_of_other_networks_are_not_added() -> None:
    with pytest.raises(TrainingError, match=r"\(5, 4, 4\) and \(3, 4, 4\)"):
        FeatureSums.of(drawn(4, 0)) + FeatureSums.of(drawn(4, 0)[:, :3])


@pytest.mark.parametrize("wrong", [1e3, float("nan"), float("inf")])
def test_features_that_cannot_be_summed_are_told(wrong: float) -> None:
    features = drawn(4, 0)
    features[2, 1, 0, 3] = wrong
    with pytest.raises(TrainingError, match="at most 128 can be summed"):
        FeatureSums.of(features)


@settings(max_examples=40, deadline=None)
@given(
    logs=st.lists(st.floats(-5, 5), min_size=3, max_size=40, unique=True),
    usual=st.floats(0.01, 0.45),
)
def test_a_scale_keeps_the_order_and_puts_rare_good_parts_at_one_half(
    logs: list[float], usual: float
) -> None:
    values = np.array(logs)
    if np.quantile(values, 0.95) - np.median(values) < 1e-3:
        return
    scale = Scale.of(values, usual=usual)
    odds = (np.sort(values) - scale.middle) * scale.steepness
    assert (np.diff(odds) >= 0).all()
    assert (np.quantile(values, 0.95) - scale.middle) * scale.steepness == pytest.approx(0)
    half = 1 / (1 + np.exp(-(np.median(values) - scale.middle) * scale.steepness))
    assert half == pytest.approx(usual)


def test_good_parts_that_score_alike_have_no_scale() -> None:
    with pytest.raises(TrainingError, match="the scores of 7 good calibration pictures"):
        Scale.of(np.full(7, 0.3))


def test_what_lies_far_from_good_parts_scores_high_there_and_only_there() -> None:
    head = GaussianHead.of(FeatureSums.of(drawn(300, 4, side=8)).gaussian())
    good = drawn(1, 99, side=8)
    odd = good.copy()
    odd[0, :, 5, 2] += 9
    (good_map, good_score), (odd_map, odd_score) = (
        head(torch.from_numpy(features)) for features in (good, odd)
    )
    assert odd_score > good_score
    assert good_map.shape == (1, 1, 16, 16)
    changed = (odd_map - good_map)[0, 0]
    near = torch.zeros(16, 16, dtype=torch.bool)
    near[8:14, 2:8] = True
    assert (changed[near] > 0).all()
    assert changed[~near].abs().max() == 0


@pytest.fixture(scope="module")
def net() -> SplitNet:
    torch.manual_seed(0)
    return SplitNet(Architecture(height=64, width=64)).eval()


def pictures(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shade = torch.rand(count, 1, 1, 1, generator=generator) * 60 + 90
    return (shade + 12 * torch.randn(count, 1, 64, 64, generator=generator)).clamp(0, 255).byte()


def test_a_network_that_judges_by_good_parts_sends_the_same_features(net: SplitNet) -> None:
    before = copy.deepcopy(net.state_dict())
    judging = judging_by_good_parts(net, sum_features(net, [pictures(24, 1)]))
    set_scales(judging, [pictures(24, 2)])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    fresh = pictures(6, 3)
    assert torch.equal(net.head(fresh)[0], judging.head(fresh)[0])
    assert judging.head(fresh)[1].shape == net.head(fresh)[1].shape


def test_batches_and_sites_do_not_change_what_is_learned_of_good_parts(net: SplitNet) -> None:
    goods = pictures(20, 4)
    whole = sum_features(net, [goods])
    sites = [
        sum_features(net, [goods[start:end] for start, end in pairwise(bounds)])
        for bounds in ((0, 4, 8), (8, 9, 20))
    ]
    merged = Ends(sites[0].head + sites[1].head, sites[0].tail + sites[1].tail)
    for one, other in zip(whole, merged, strict=True):
        # A batch's size changes the last bits of a convolution, and so a rounding now and then.
        assert one.count == other.count == 20
        assert np.abs(one.total - other.total).max() <= 3


def test_a_scratch_scores_above_good_parts_at_both_ends(net: SplitNet) -> None:
    judging = judging_by_good_parts(net, sum_features(net, [pictures(40, 5)]))
    set_scales(judging, [pictures(40, 6)])
    fresh = pictures(10, 7)
    scratched = fresh.clone()
    scratched[:, :, 20:44, 30:33] = 0
    good, bad = judge_logits(judging, fresh), judge_logits(judging, scratched)
    assert bad.head.min() > good.head.max()
    assert (bad.tail > good.tail).float().mean() > 0.8


def test_an_exported_tail_says_by_itself_that_it_judges_by_good_parts(net: SplitNet) -> None:
    judging = judging_by_good_parts(net, sum_features(net, [pictures(30, 8)]))
    set_scales(judging, [pictures(30, 9)])
    symbols = np.random.default_rng(0).integers(-3, 4, (2, 32, 4, 4)).astype(np.int8)
    with torch.no_grad():
        wanted = judging.tail(torch.from_numpy(symbols).float()).score.sigmoid().numpy()
    model = export_tail(judging)
    for name, device in (("torch", "cpu"), ("onnx", "CPU")):
        _, found = open_runtime(name, model, RuntimeOptions(device)).run(symbols)
        assert found == pytest.approx(wanted, abs=0.01)
