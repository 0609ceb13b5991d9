"""How a network judges the parts that a device keeps from training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from edge.learner.feature_cache import CachedFeatures
from edge.learner.trainable import Student


class LocalJudgements(NamedTuple):
    """score   logits, float32 (n,)
    defective   bool (n,)
    part        the name of each picture's part
    """

    score: NDArray[np.float32]
    defective: NDArray[np.bool_]
    part: list[str]


def judge(student: Student, examples: CachedFeatures) -> LocalJudgements:
    scores = [student.score(kept) for kept in examples.as_they_are()]
    return LocalJudgements(
        torch.cat(scores).numpy() if scores else np.zeros(0, np.float32),
        np.array([label.defective for label in examples.labels], bool),
        [label.part for label in examples.labels],
    )
