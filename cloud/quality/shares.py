"""Shares of parts with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959963984540054
"""Of a two-sided interval of 95 % confidence."""


@dataclass(frozen=True, slots=True)
class QualityShare:
    """So many of so many parts; the interval's ends are 0 and 1 where there are none."""

    count: int
    parts: int

    @property
    def rate(self) -> float | None:
        return self.count / self.parts if self.parts else None

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 % confidence, by scores (Wilson 1927): cheap however many parts there are.

        It speaks of a steady line of which these parts are a sample.
        """
        if not self.parts:
            return 0.0, 1.0
        n, p = self.parts, self.count / self.parts
        middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        low = 0.0 if self.count == 0 else max(0.0, middle - half)
        high = 1.0 if self.count == self.parts else min(1.0, middle + half)
        return low, high
