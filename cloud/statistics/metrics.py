"""How good scores are. numpy in, numbers out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.certification.ranking import auroc as auroc


def average_precision(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve as a step function. NaN without positives."""
    positives = int(labels.sum())
    if positives == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, sorted_scores = labels[order], scores[order]
    last_of_tie = np.append(np.diff(sorted_scores) != 0, True)
    found = np.cumsum(ranked)[last_of_tie]
    precision = found / (np.flatnonzero(last_of_tie) + 1)
    recall = np.diff(found, prepend=0) / positives
    return float((precision * recall).sum())


def best_threshold(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """The score above which calling parts defective is most often right.

    It lies midway between two scores of the set.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    good_below = np.concatenate([[0], np.cumsum(~labels[order])])
    bad_above = int(labels.sum()) - np.concatenate([[0], np.cumsum(labels[order])])
    right = good_below + bad_above
    # A threshold can't separate equal scores.
    right[1:-1][np.diff(ranked) == 0] = -1
    best = int(np.argmax(right))
    if best == 0:
        return float(ranked[0]) - 1e-6
    if best == len(ranked):
        return float(ranked[-1]) + 1e-6
    below, above = float(ranked[best - 1]), float(ranked[best])
    middle = (below + above) / 2
    # Between neighbouring floats there is no middle.
    return middle if middle > below else above


def threshold_at(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], overkill: float
) -> float | None:
    """The lowest threshold from which rejecting rejects at most a share `overkill` of the good.

    scores   where one is infinite no threshold changes its verdict
    None where there are no good samples, or where more than `overkill` of them score +inf.
    """
    good = np.sort(scores[~labels])[::-1]
    # A share such as 0.29 of 100 must not become 28 by the last binary digit.
    allowed = int(np.floor(overkill * len(good) + 1e-9))
    if allowed >= len(good) or good[allowed] == np.inf:
        return None
    return float(np.nextafter(good[allowed], np.inf))
