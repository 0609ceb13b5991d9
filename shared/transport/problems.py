"""What is wrong between a client and its broker, by name, since when, and told once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.log import get_logger

log = get_logger("mqtt")

LASTS_S = 60.0
"""What is not met again for so long is over, where nothing says so."""
MOST = 16


@dataclass(slots=True)
class _Problem:
    text: str
    seen_at: float
    lasts_s: float
    count: int = 1


class LinkProblems:
    """Current problems by what they are about. Safe to share between threads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._found: dict[str, _Problem] = {}
        self._lacking: set[str] = set()

    def meet(
        self,
        about: str,
        text: str,
        *,
        fix: str = "",
        lasts_s: float = LASTS_S,
        event: str = "link_problem",
        **said: object,
    ) -> None:
        """It is so, now; logged as `event` where that is new.

        lasts_s   without being met again or solved it is over after so long
        """
        now = self._monotonic()
        with self._lock:
            self._forget(now)
            known = self._found.get(about)
            if known is not None and known.text == text:
                known.seen_at, known.lasts_s = now, lasts_s
                known.count += 1
                return
            if known is None and len(self._found) >= MOST:
                return
            self._found[about] = _Problem(text, now, lasts_s)
        log.error(event, about=about, reason=text, fix=fix, **said)

    def solve(self, about: str) -> None:
        """It is well again."""
        with self._lock:
            known = self._found.pop(about, None)
        if known is not None:
            log.info("link_problem_solved", about=about, times=known.count)

    def agree(self, found: Mapping[str, str]) -> None:
        """What the broker lacks, as it has just told; what was told before is over."""
        for about in self._lacking - found.keys():
            self.solve(about)
        for about, text in found.items():
            self.meet(about, text, lasts_s=math.inf)
        self._lacking = set(found)

    @property
    def now(self) -> dict[str, str]:
        """What is wrong at present: what it is about, and a sentence without a stop."""
        with self._lock:
            self._forget(self._monotonic())
            return {about: problem.text for about, problem in sorted(self._found.items())}

    def _forget(self, now: float) -> None:
        old = [about for about, one in self._found.items() if now - one.seen_at > one.lasts_s]
        for about in old:
            del self._found[about]
