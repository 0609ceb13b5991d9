"""Numbers of Flower's records, as they were packed or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shared.errors import FederationError
from shared.federation.flower_arrays import unpacked

pytestmark = pytest.mark.torch


@given(hnp.arrays(np.float16, hnp.array_shapes(max_dims=3, max_side=4)))
def test_numbers_come_back(values: NDArray[np.float16]) -> None:
    found = unpacked(Array(values), values.shape)
    assert found.dtype == values.dtype
    assert np.array_equal(found, values, equal_nan=True)


def test_another_shape_than_wanted_is_refused() -> None:
    with pytest.raises(FederationError, match=r"values in \(3,\), \(4,\) were wanted"):
        unpacked(Array(np.zeros(3)), (4,))
