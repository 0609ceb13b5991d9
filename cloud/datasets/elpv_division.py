"""How ELPV's cells are divided: by the rule under which its figures were published.

The cells never become more, so that a division balanced over the whole set moves none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cloud.datasets.dataset import SPLITS, Split
from cloud.datasets.pictures import decode

THUMBNAIL = 32
# ELPV's cells of one design reach 0.99 without being the same cell (docs/decisions/0005).
SAME_CELL_CORRELATION = 0.995
BLOCK = 512


def group_cells(images: Sequence[Path]) -> tuple[list[str], int]:
    """A part name for each cell, and how many cells joined another's part.

    Cells whose thumbnails correlate above SAME_CELL_CORRELATION share a part, transitively.
    """
    rows = _thumbnails(images)
    pairs: list[NDArray[np.intp]] = []
    for start in range(0, len(rows), BLOCK):
        left, right = np.nonzero(rows[start : start + BLOCK] @ rows.T > SAME_CELL_CORRELATION)
        pairs.append(np.stack([left + start, right]))
    edges = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(edges.shape[1]), (edges[0], edges[1])), shape=(len(rows),) * 2)
    count, labels = connected_components(graph, directed=False)
    return [f"part-{label}" for label in labels], len(rows) - int(count)


def divide(
    parts: Sequence[str],
    strata: Sequence[str],
    shares: Mapping[Split, float],
    seed: int,
) -> list[Split]:
    """A split for each sample: whole parts only, each stratum divided by `shares`.

    strata   what should be balanced; a part takes its first sample's stratum
    """
    first: dict[str, str] = {}
    for part, stratum in zip(parts, strata, strict=True):
        first.setdefault(part, stratum)
    rng = np.random.default_rng(seed)
    chosen: dict[str, Split] = {}
    for stratum in sorted(set(first.values())):
        members = sorted(part for part, kind in first.items() if kind == stratum)
        order = rng.permutation(len(members))
        bounds = np.cumsum([shares.get(split, 0.0) for split in SPLITS]) / sum(shares.values())
        for rank, index in enumerate(order):
            position = (rank + 0.5) / len(members)
            choice = int(np.searchsorted(bounds, position))
            chosen[members[index]] = SPLITS[min(choice, len(SPLITS) - 1)]
    return [chosen[part] for part in parts]


def _thumbnails(images: Sequence[Path]) -> NDArray[np.float32]:
    """Each picture as a grey thumbnail of zero mean and unit length, (n, THUMBNAIL²)."""
    rows = np.empty((len(images), THUMBNAIL * THUMBNAIL), np.float32)
    for row, path in zip(rows, images, strict=True):
        picture = decode(path, channels=1)
        small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        flat = small.astype(np.float32).ravel()
        flat -= flat.mean()
        row[:] = flat / max(float(np.linalg.norm(flat)), 1e-6)
    return rows
