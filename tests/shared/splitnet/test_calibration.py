"""An int8 head made from what several places saw is the one made from all their pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from shared.features.codec import symbol_counts, tables_from_counts, tables_from_symbols
from shared.splitnet.calibration import (
    SHIFT_BINS,
    SHIFT_REACH,
    SHIFT_STEP,
    OwnPictures,
    median_shift,
)
from shared.splitnet.export import export_head, int8_head, with_weights
from shared.splitnet.fusion import DeployedHead, fuse_norms
from shared.splitnet.network import Architecture, Head, SplitNet
from shared.splitnet.rounding import round_by
from tests.cloud.datasets.makers import part

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

SIZE = 64


class Several:
    """What several places see, put together."""

    def __init__(self, places: Sequence[OwnPictures]) -> None:
        self._places = places

    def moments(self, head: Head) -> Sequence[Tensor]:
        found = [place.moments(head) for place in self._places]
        return [torch.stack(conv).sum(dim=0) for conv in zip(*found, strict=True)]

    def ranges(self, measuring: bytes) -> NDArray[np.float32]:
        found = np.stack([place.ranges(measuring) for place in self._places])
        return np.stack([found[:, 0].min(axis=0), found[:, 1].max(axis=0)])

    def shifts(self, quantised: bytes, original: bytes) -> NDArray[np.int64]:
        found = [place.shifts(quantised, original) for place in self._places]
        return np.asarray(np.sum(found, axis=0), np.int64)


def lively(net: SplitNet) -> SplitNet:
    """With a bias everywhere, as training leaves it: the exporter drops those that are zero."""
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith("bias"):
                value.normal_(0, 0.1)
        net.head.map_head.whole.weight.normal_(0, 0.3)
    return net.eval()


@pytest.fixture(scope="module")
def net() -> SplitNet:
    torch.manual_seed(0)
    return lively(SplitNet(Architecture(height=SIZE, width=SIZE), pretrained=False))


@pytest.fixture(scope="module")
def exported(net: SplitNet) -> bytes:
    return export_head(net)


def pictures(count: int) -> list[NDArray[np.uint8]]:
    drawn = (part(n, defective=n % 3 == 0, size=SIZE) for n in range(count))
    return [np.asarray(one[np.newaxis, np.newaxis], np.uint8) for one in drawn]


def test_merged_statistics_of_a_split_data_set_give_the_same_int8_head(
    net: SplitNet, exported: bytes
) -> None:
    everything = pictures(24)
    places = [OwnPictures(everything[start::3]) for start in range(3)]
    central = int8_head(net, exported, OwnPictures(everything))
    assert int8_head(net, exported, Several(places)) == central
    assert onnx.load_from_string(central).graph.output[2].name == "score"


def test_other_weights_in_an_exported_head_are_another_export(
    net: SplitNet, exported: bytes
) -> None:
    head = fuse_norms(DeployedHead(net.head))
    seen = OwnPictures(pictures(6))
    head.head = round_by(head.head, seen.moments(head.head))
    swapped = with_weights(exported, head)
    assert swapped is not None
    names = [tensor.name for tensor in onnx.load_from_string(swapped).graph.initializer]
    assert names == [tensor.name for tensor in onnx.load_from_string(exported).graph.initializer]
    assert swapped != exported
    assert with_weights(exported, torch.nn.Linear(2, 2)) is None


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_the_median_of_counted_shifts_is_the_shifts_median_to_a_step(shifts: list[float]) -> None:
    kept = np.clip(shifts, -SHIFT_REACH, SHIFT_REACH)
    places = np.rint((kept + SHIFT_REACH) / SHIFT_STEP).astype(int)
    counts = np.bincount(places, minlength=SHIFT_BINS)
    assert median_shift(counts) == pytest.approx(float(np.median(kept)), abs=SHIFT_STEP / 2 + 1e-9)
    assert median_shift(np.zeros(SHIFT_BINS, np.int64)) == 0


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_tables_from_summed_counts_are_those_of_all_symbols(places: int, seed: int) -> None:
    symbols = np.random.default_rng(seed).integers(-7, 8, (places * 2, 3, 4, 4)).astype(np.int8)
    counts = sum(symbol_counts(symbols[place::places], 7) for place in range(places))
    assert tables_from_counts(np.asarray(counts), 7) == tables_from_symbols(symbols, 7)
