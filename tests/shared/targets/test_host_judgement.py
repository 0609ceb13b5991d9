from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from shared.targets.host_judgement import host_judgement

LOGITS = arrays.arrays(np.float32, (1, 1, 4, 6), elements=st.floats(-30, 30, width=32))


@given(LOGITS, st.floats(-5, 5, width=32), st.integers(1, 24), st.floats(-1, 1, width=32))
def test_a_score_is_the_mean_of_the_highest_places_and_the_whole_less_the_shift(
    logits: NDArray[np.float32], whole: float, top: int, shift: float
) -> None:
    found = host_judgement(logits, np.array([[[[whole]]]], np.float32), top, shift)
    highest = sorted(logits.reshape(-1).tolist())[-top:]
    odds = sum(highest) / top + whole - shift
    assert float(found.score[0]) == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-5)
    np.testing.assert_allclose(found.defect_map, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert found.defect_map.shape == logits.shape
    assert found.score.dtype == found.defect_map.dtype == np.float32


def test_what_is_no_number_stays_none() -> None:
    logits = np.zeros((1, 1, 4, 4), np.float32)
    logits[0, 0, 1, 1] = np.nan
    assert math.isnan(host_judgement(logits, np.zeros(1, np.float32), 2).score[0])


@pytest.mark.torch
def test_it_judges_as_the_network_that_was_trained() -> None:
    import torch

    from shared.splitnet.network import MapHead

    torch.manual_seed(0)
    head = MapHead(8, 8, 20 * 20, local=False).eval()
    torch.nn.init.normal_(head.whole.weight)
    with torch.no_grad():
        features = torch.randn(1, 8, 20, 20)
        logits, score = head(features)
        hidden = head.depthwise(features)
        whole = head.whole(hidden.mean(dim=(2, 3)))
    found = host_judgement(logits.numpy(), whole.numpy(), head.top)
    np.testing.assert_allclose(found.score, score.sigmoid().numpy(), atol=1e-6)
    np.testing.assert_allclose(found.defect_map, logits.sigmoid().numpy(), atol=1e-6)
