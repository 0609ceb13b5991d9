"""What a bundle proves itself by: drawn inputs, and what its model makes of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.bundles.bundle import Golden
from shared.features.codec import FeatureCodec
from shared.runtime.base import Runtime

GOLDEN_INPUTS = 4


def golden_inputs(shape: tuple[int, int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Pictures that belong to nobody: soft shades, a grid of bars and a few scratches.

    A bundle may not carry pictures of its training data, whose licences differ.
    """
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    pictures = []
    for index in range(GOLDEN_INPUTS):
        shade = 110 + 60 * np.sin(2 * np.pi * (x * rng.uniform(0.3, 1) + y * rng.uniform(0.3, 1)))
        bars = 25 * (np.sin(2 * np.pi * x * (4 + 3 * index)) > 0.9)
        picture = shade - bars + rng.normal(0, 6, (height, width))
        for _ in range(index):
            a, b, c = rng.normal(0, 1, 3)
            picture -= 70 * np.exp(-(((a * (x - 0.5) + b * (y - 0.5) + 0.2 * c) / 0.01) ** 2))
        pictures.append(np.repeat(picture[np.newaxis], channels, axis=0))
    return np.asarray(np.clip(np.stack(pictures), 0, 255), np.uint8)


def golden_outputs(
    inputs: NDArray[np.uint8],
    head: Runtime,
    float_head: Runtime,
    tail: Runtime,
    codec: FeatureCodec,
) -> Golden:
    """What a model makes of golden inputs (n, c, h, w)."""
    found = [head.run(picture[np.newaxis]) for picture in inputs]
    symbols = np.stack([codec.quantise(np.asarray(f[0][0], np.float32)) for f in found])
    tail_scores = np.asarray(tail.run(symbols)[1], np.float32)
    edge_scores = np.array([f[2].reshape(-1)[0] for f in found], np.float32)
    float_scores = np.array(
        [float_head.run(picture[np.newaxis])[2].reshape(-1)[0] for picture in inputs], np.float32
    )
    payload = codec.encode(symbols[0])
    return Golden(inputs, edge_scores, symbols, tail_scores, payload, float_scores)
