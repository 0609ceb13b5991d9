"""Which parts a person looks at whatever the system makes of them."""

from __future__ import annotations

import random


class ControlSample:
    """Draws each part by itself, all with the same probability.

    Nothing of the part counts, nor how fast the line runs just now: what is drawn stands for all
    parts, those of slow hours and of trays alike.
    """

    def __init__(self, share: float, seed: int | None = None) -> None:
        """share: of the parts, 0–1
        seed: so that a test can say which are drawn; None: nobody can foretell it
        """
        self._share = share
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311

    def draws(self) -> bool:
        """Whether the next part is one."""
        return self._random.random() < self._share
