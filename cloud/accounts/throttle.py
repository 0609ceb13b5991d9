"""Slows down who guesses: by account, by address and by browser, each by itself.

Nothing is ever locked. Who keeps guessing at an account makes it wait for strangers, a few seconds
at a time; a browser in which its owner has signed in before waits for its own failures only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from shared.clock import Clock
from shared.log import get_logger

log = get_logger("access")

FORGET_S = 15 * 60.0
MOST_KEPT = 10_000


class Subject(NamedTuple):
    """Of what failures are counted: `kind` is one of ALLOWANCES."""

    kind: str
    name: str


class Allowance(NamedTuple):
    """So many failures cost nothing; each further one doubles the wait, from 1 s to `longest_s`."""

    failures: int
    longest_s: float


ALLOWANCES = {
    "account": Allowance(5, 8.0),
    "browser": Allowance(5, 30.0),
    "address": Allowance(20, 60.0),
    "token": Allowance(10, 60.0),
}


Tell = Callable[[Subject, int], None]


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    until: float = 0.0
    kept_out: int = 0

    @property
    def all(self) -> int:
        return self.count + self.kept_out

    def count_up(self, allowance: Allowance, now: float) -> None:
        self.count += 1
        self.last = now
        beyond = self.count - allowance.failures
        if beyond > 0:
            # The power is bounded, or a patient one would overflow it.
            self.until = now + min(2.0 ** min(beyond - 1, 16), allowance.longest_s)


class GuessThrottle:
    """Failures in memory, the oldest forgotten. Safe to share between threads.

    tell   called with a subject and a count at its first failure, the tenth, the hundredth…
    """

    def __init__(self, clock: Clock, tell: Tell = lambda *_: None) -> None:
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._failures: OrderedDict[Subject, _Failures] = OrderedDict()

    def attempt(self, *subjects: Subject) -> float:
        """How long it must wait; 0: it may be made now, and counts until it has succeeded."""
        now, told = self._clock.monotonic(), []
        with self._lock:
            kept = {subject: self._kept(subject, now) for subject in subjects}
            wait = max(failures.until - now for failures in kept.values())
            for subject, failures in kept.items():
                if wait <= 0:
                    failures.count_up(ALLOWANCES[subject.kind], now)
                elif failures.until > now:
                    failures.kept_out += 1
                    told.append((subject, failures.all))
            while len(self._failures) > MOST_KEPT:
                self._failures.popitem(last=False)
        self._report(told)
        return max(0.0, wait)

    def failed(self, *subjects: Subject) -> None:
        """The attempt was wrong: say so, where it is time to."""
        with self._lock:
            kept = ((subject, self._failures.get(subject)) for subject in subjects)
            told = [(subject, failures.all) for subject, failures in kept if failures is not None]
        self._report(told)

    def succeeded(self, *subjects: Subject) -> None:
        """The right one came: earlier failures are forgotten; those of an address are others'."""
        with self._lock:
            for subject in subjects:
                if subject.kind in {"account", "browser"}:
                    self._failures.pop(subject, None)
                elif (failures := self._failures.get(subject)) is not None:
                    failures.count -= 1

    def _kept(self, subject: Subject, now: float) -> _Failures:
        failures = self._failures.pop(subject, None)
        if failures is None or now - failures.last > FORGET_S:
            failures = _Failures()
        self._failures[subject] = failures
        return failures

    def _report(self, told: list[tuple[Subject, int]]) -> None:
        for subject, count in told:
            if _is_power_of_ten(count):
                log.warning("guesses", by=subject.kind, name=subject.name, count=count)
                self._tell(subject, count)


def _is_power_of_ten(count: int) -> bool:
    return str(count).rstrip("0") == "1"
