"""A learner as the agent starts it, with the tiny network.

`SPLITSIGHT_TEST_STEP_S` seconds pass before each training, for a test to break something in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from torch import nn

from edge.learner.server import main
from tests.fleet.rounds.tiny import TinyStudent

STEP_S = "SPLITSIGHT_TEST_STEP_S"


class SlowStudent(TinyStudent):
    """Takes its time before each training."""

    def shares(self) -> Sequence[tuple[list[nn.Parameter], bool]]:
        time.sleep(float(os.environ.get(STEP_S, "0")) / 2)
        return super().shares()


if __name__ == "__main__":
    main(SlowStudent)
