"""Which of many rows are alike, found without comparing each pair in full."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

SAMPLED = 1600
DIRECTIONS = 48
BLOCK = 512

Rows = NDArray[np.float16]


def close_pairs(rows: Rows, threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs of places (lower, higher) whose rows correlate more than `threshold`, −1 to 1.

    rows   float16 (n, d), of unit length
    Of unit rows, two that correlate above t have projections no farther than √(2 − 2t) from each
    other: on few directions most pairs are ruled out cheaply, and none that is close.
    """
    few = _projected(rows)
    half = (few * few).sum(axis=1, keepdims=True) / 2
    few = np.hstack([few, half, np.ones_like(half)])
    least = np.float32(threshold - 1)
    # Threads of BLAS itself wait for each other by turning: beside other work that is six times
    # as much of the processors as the product.
    with threadpool_limits(1, "blas"):
        for top in range(0, len(rows), BLOCK):
            some = few[top : top + BLOCK].copy()
            # So that the product is minus half the square of how far two are from each other.
            some[:, -2:] = -some[:, :-3:-1]
            for left in range(top, len(rows), BLOCK):
                near = some @ few[left : left + BLOCK].T
                if near.max() < least:
                    continue
                ones, others = np.nonzero(near >= least)
                ones, others = ones + top, others + left
                ahead = others > ones
                yield from _surely_close(rows, ones[ahead], others[ahead], threshold)


def _surely_close(
    rows: Rows, ones: NDArray[np.intp], others: NDArray[np.intp], threshold: float
) -> Iterator[tuple[int, int]]:
    for begin in range(0, len(ones), BLOCK):
        one, other = ones[begin : begin + BLOCK], others[begin : begin + BLOCK]
        alike = np.einsum("ij,ij->i", rows[one], rows[other], dtype=np.float32)
        found = alike > threshold
        yield from zip(one[found].tolist(), other[found].tolist(), strict=True)


def _projected(rows: Rows) -> NDArray[np.float32]:
    some = rows[np.random.default_rng(0).permutation(len(rows))[:SAMPLED]].astype(np.float32)
    _, directions = np.linalg.eigh(some.T @ some)
    few = np.asarray(directions[:, -DIRECTIONS:], np.float32)
    starts = range(0, len(rows), BLOCK)
    return np.concatenate([rows[s : s + BLOCK].astype(np.float32) @ few for s in starts])
