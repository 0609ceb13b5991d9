"""The time that a search may take in all, over however many starts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from shared.errors import SettingsError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class TimeSpent(Exception):
    """The time is over; what was begun can go on another day."""


class TimeBudget:
    """Counts wall time.

    seconds  in all
    used     of them, by earlier starts
    keep     is told how many are used, whenever some are spent
    clock    monotonic seconds
    """

    def __init__(
        self,
        seconds: float,
        used: float,
        keep: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.used = used
        self._keep = keep
        self._clock = clock
        self._since = clock()

    @property
    def spent(self) -> bool:
        return self.used >= self.seconds

    def spend(self) -> None:
        """Count what has passed since the last time."""
        now = self._clock()
        self.used += now - self._since
        self._since = now
        self._keep(self.used)

    def want_more(self) -> None:
        """Raises TimeSpent where nothing is left."""
        if self.spent:
            raise TimeSpent


def seconds_of(text: str) -> float:
    """2h, 90m, 1.5d. Raises SettingsError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if not found or not float(found[1]):
        raise SettingsError(
            f"{text!r} is no length of time", fix="give a number and s, m, h or d: 2h, say"
        )
    return float(found[1]) * UNITS[found[2]]
