"""How well scores rank: numpy in, numbers out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def auroc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a defective sample scores above a good one.

    Ties count half (Mann and Whitney 1947). NaN where one class is absent.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    above = ranks[labels].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
