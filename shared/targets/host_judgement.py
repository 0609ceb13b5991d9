"""What a head leaves to the processor beside the accelerator: its last few sums, in float.

In int8 a score has some 65 distinct values, and no NPU takes a top-k: on the host they cost some
30 microseconds, and the gate can tell every two pictures apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# What an accelerator's head gives, by name.
OUTPUTS = ("features", "map_logits", "whole")


class HostJudgement(NamedTuple):
    """Of one picture.

    defect_map   probabilities, float32 (1, 1, height/8, width/8)
    score        probability, float32 (1,)
    """

    defect_map: NDArray[np.float32]
    score: NDArray[np.float32]


def host_judgement(
    map_logits: NDArray[np.float32], whole: NDArray[np.float32], top: int, shift: float = 0.0
) -> HostJudgement:
    """Defect map and score, as `shared.splitnet.network.MapHead` makes them of its logits.

    map_logits   float32 (1, 1, h, w)
    whole        the judgement of the whole picture, log-odds, one number of any shape
    top          how many of the map's highest places count, 1 to h · w
    shift        by what the target raises every score, log-odds: taken back
    """
    logits = np.asarray(map_logits, np.float32)
    highest = np.partition(logits.reshape(-1), logits.size - top)[-top:]
    score = highest.mean(dtype=np.float32) + np.float32(whole.reshape(-1)[0]) - np.float32(shift)
    return HostJudgement(_sigmoid(logits), _sigmoid(score.reshape(1)))


def _sigmoid(log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
    # Of what would overflow the exponent, neither 0 nor 1 is told apart in float32.
    bounded = np.clip(log_odds, -80, 80)
    return np.asarray(1 / (1 + np.exp(-bounded)), np.float32)
