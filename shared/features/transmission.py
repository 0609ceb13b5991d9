"""The passage of a picture's features to the cloud, and what the cloud makes of both halves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.certification.gate import Gate
from shared.features.codec import FeatureCodec

BATCH = 16
"""Pictures that the tail is asked about at a time."""


def received(
    codec: FeatureCodec, symbols: NDArray[np.int8], coarseness: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.int8]:
    """The symbols (n, channels, height, width) that the tail sees once they were sent, each at its
    coarseness.
    """
    return np.stack(
        [
            one if k == 1 else codec.decode(codec.encode(one, int(k)), int(k))
            for one, k in zip(symbols, coarseness, strict=True)
        ]
    )


def batches(symbols: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """As the tail is asked about them."""
    return [symbols[start : start + BATCH] for start in range(0, len(symbols), BATCH)]


def weighed(
    gate: Gate, edge: NDArray[np.float64], tail: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The cloud's scores (n,): head and tail as this gate weighs them."""
    pairs = zip(edge.tolist(), tail.tolist(), strict=True)
    return np.array([gate.cloud_score(head, deep) for head, deep in pairs], np.float64)
