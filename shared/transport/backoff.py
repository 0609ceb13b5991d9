"""How long to wait before a connection is tried again."""

from __future__ import annotations

import random

STEADY_S = 10.0
"""A connection that lived for so long was a good one."""


class Backoff:
    """Waits that double, with jitter, and begin anew only after a connection that lived.

    One that is taken and lost again at once, as by two clients of one name, counts as a failure.
    """

    def __init__(
        self, first_s: float, unreachable_s: float, unsteady_s: float, chance: random.Random
    ) -> None:
        """first_s: the longest first wait

        unreachable_s   the longest wait where nothing answers: what is back is found soon
        unsteady_s      the longest wait where connections are taken and lost again
        """
        self._first_s = first_s
        self._most_s = {False: unreachable_s, True: unsteady_s}
        self._chance = chance
        self._tries = 0
        self.short_lives = 0

    def lived(self, seconds: float) -> None:
        """A connection has ended after so long."""
        if seconds >= STEADY_S:
            self._tries = self.short_lives = 0
        else:
            self.short_lives += 1

    def wait_s(self) -> float:
        """Seconds until the next try: between half of the present limit and all of it."""
        most = self._most_s[self.short_lives > 1]
        limit = min(most, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return limit * self._chance.uniform(0.5, 1.0)
