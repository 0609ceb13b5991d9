"""How much of what waits for the cloud is sent at once, and when: live escalations use the same
link, broker and cloud, and a thousand boxes come back together."""

from __future__ import annotations

import random

from shared.clock import Clock

# A cloud that takes in a hundred rows at once answers no escalation meanwhile.
LEAST_ROWS, MOST_ROWS = 20, 32
SLOW_S = 0.25
# For a receipt's way alone, over half of the world: what takes longer is slow.
FARTHEST_S = 0.4
PAUSE_S = (0.1, 2.0)
SPREAD_S = 5.0
RESEND_S = (5.0, 40.0)
TRIES = 3
GROWTH = 10


class BatchThrottle:
    """Adds rows where receipts come soon and takes half away where they don't, and is silent after
    each for as long as it took: half of the time belongs to others.

    The way of the fastest receipt does not count: a cloud that is far away has nothing to rest
    from, and a fast line before it would never catch up.

    rows   inspections in the next batch
    """

    def __init__(self, clock: Clock, chance: random.Random | None = None) -> None:
        """chance: of when this box speaks after a connection was lost"""
        self._clock = clock
        # It need not be secret, only another one in each box.
        self._chance = chance or random.Random()  # noqa: S311
        self.rows = MOST_ROWS
        self._quiet_until = float("-inf")
        self._way_s = FARTHEST_S
        self._tries = 0

    @property
    def wait_s(self) -> float:
        """Seconds until the next batch may go, 0 for now."""
        return max(0.0, self._quiet_until - self._clock.monotonic())

    @property
    def resend_s(self) -> float:
        """Seconds without a receipt after which a batch goes again."""
        first, most = RESEND_S
        return float(min(most, first * 2.0 ** max(0, self._tries - 1)))

    def sent(self) -> None:
        """A batch is under way, once more or for the first time."""
        self._tries += 1

    @property
    def exhausted(self) -> bool:
        """Whether the batch was sent so often that something else should be tried."""
        return self._tries >= TRIES

    def split(self) -> None:
        """Nothing comes back of this batch: the next one has half of its rows."""
        self.rows, self._tries = max(1, self.rows // 2), 0

    def received(self, took_s: float) -> None:
        """The cloud has it, and took so long."""
        self._tries = 0
        self._way_s = min(self._way_s, took_s)
        rests_s = took_s - self._way_s
        if rests_s > SLOW_S:
            self.rows = max(LEAST_ROWS, self.rows // 2)
            rests_s = took_s
        else:
            self.rows = min(MOST_ROWS, self.rows + GROWTH)
        self._be_quiet(min(max(rests_s, PAUSE_S[0]), PAUSE_S[1]))

    def reconnected(self) -> None:
        """So are all the others: each has a moment of its own."""
        self._tries, self._way_s = 0, FARTHEST_S
        self._be_quiet(self._chance.uniform(0.0, SPREAD_S))

    def _be_quiet(self, seconds: float) -> None:
        self._quiet_until = self._clock.monotonic() + seconds
