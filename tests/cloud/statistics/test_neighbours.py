"""Pairs of rows that are alike."""

from __future__ import annotations

import numpy as np

from cloud.statistics.neighbours import BLOCK, close_pairs


def test_finds_the_pairs_that_comparing_all_in_full_finds() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(2 * BLOCK + 100, 3)) @ rng.normal(size=(3, 80))
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    rows = exact.astype(np.float16)
    alike = np.triu(rows.astype(np.float32) @ rows.astype(np.float32).T, 1)

    found = list(close_pairs(rows, 0.99))

    assert len(found) == len(set(found))
    assert set(found) >= set(zip(*(p.tolist() for p in np.nonzero(alike > 0.9905)), strict=True))
    assert set(found) <= set(zip(*(p.tolist() for p in np.nonzero(alike > 0.9895)), strict=True))
    assert len(found) > 1000


def test_finds_none_among_rows_that_differ() -> None:
    assert list(close_pairs(np.eye(64, dtype=np.float16), 0.5)) == []
