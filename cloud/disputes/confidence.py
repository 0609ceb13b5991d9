"""Which labels the scores speak against: confident learning.

Northcutt, Jiang and Chuang (2021), Confident learning: estimating uncertainty in dataset labels,
Journal of Artificial Intelligence Research 70; computed by cleanlab. Its thresholds are each
label's own mean score, so that scores need not be probabilities.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.errors import DataError

FOLDS = 5
# A strong prior: there are as many features as there are parts in a small set.
REGULARISATION = 0.01
MOST_STEPS = 2_000


def disputed_labels(given: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Places of the labels that are likely wrong, the surest first.

    given   labelled defective, bool (n,)
    scores  how surely each is defective, 0–1, (n,): by who has not learned from this label
    None of them where all labels are the same: there is nothing to compare with.
    """
    if given.all() or not given.any():
        return np.zeros(0, np.intp)
    shares = np.stack([1 - scores, scores], axis=1)
    with warnings.catch_warnings():
        # That the last part of a kind is never disputed.
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        found = find_label_issues(
            given.astype(np.int64),
            shares,
            return_indices_ranked_by="normalized_margin",
            # Its processes would each import all of this again.
            n_jobs=1,
        )
    return np.asarray(found, np.intp)


def out_of_fold(
    features: NDArray[np.float32],
    given: NDArray[np.bool_],
    parts: Sequence[str],
    seed: int = 0,
) -> NDArray[np.float64]:
    """How surely each is defective, 0–1, (n,): by what other parts' features and labels say.

    features  float32 (n, channels)
    given     labelled defective, bool (n,)
    parts     of each; whole parts are left out together, so that twins do not vouch for each other
    Raises DataError with fewer than two good or two defective parts.
    """
    names = np.asarray(parts)
    fewest = min(len(set(names[given == kind])) for kind in (True, False))
    if fewest < 2:
        raise DataError(
            f"there are {len(set(names[given]))} defective and {len(set(names[~given]))} good "
            "parts, and labels are compared with those of other parts",
            fix="give at least two parts of each",
        )
    folds = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    scores = np.empty(len(given), np.float64)
    with warnings.catch_warnings():
        # That a kind has fewer parts than pictures, which whole parts bring with them.
        warnings.filterwarnings("ignore", message="The least populated class")
        divided = list(folds.split(features, given, names))
    for learned, left_out in divided:
        if given[learned].all() or not given[learned].any():
            # Parts with pictures of both labels can leave a fold with one of them.
            scores[left_out] = given.mean()
            continue
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=MOST_STEPS)
        )
        model.fit(features[learned], given[learned])
        scores[left_out] = model.predict_proba(features[left_out])[:, 1]
    return scores
