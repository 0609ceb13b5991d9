"""Opens the way to the cloud while its answers come too late, and tries it now and then."""

from __future__ import annotations

import random
import threading
from collections import deque
from typing import Literal

from shared.clock import Clock

LOOKS_AT = 20
"""Escalations whose outcome is remembered, the newest."""
ENOUGH = 8
LASTS_S = 60.0
IN_TIME_SHARE = 0.25
"""Of fewer the cloud is of no use: the fastest quarter of its answers comes too late."""
TRIES = 3
WELL_OF_TRIES = 2
PAUSE_S = (0.5, 2.0)

CircuitState = Literal["closed", "open", "trying"]


class CircuitBreaker:
    """Whether to ask the cloud, by how its last answers came. Safe to share between threads.

    closed   every part may ask
    open     none may, for a pause with jitter that doubles up to PAUSE_S[1]
    trying   TRIES parts may; where WELL_OF_TRIES are answered in time it is closed again

    What is asked and not answered by its deadline is an answer that came too late.
    """

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._asked: dict[int, float] = {}
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=LOOKS_AT)
        self._state: CircuitState = "closed"
        self._until = 0.0
        self._pause_s = PAUSE_S[0]
        self._tries = 0
        self._tried: list[bool] = []

    @property
    def state(self) -> CircuitState:
        with self._lock:
            self._look()
            return self._state

    def admits(self) -> bool:
        """Whether the next part may ask. Where it does, `asked` follows."""
        with self._lock:
            self._look()
            return self._state == "closed" or (self._state == "trying" and self._tries > 0)

    def asked(self, key: int, deadline: float) -> None:
        """A part was sent; its answer is of use until `deadline`, monotonic seconds."""
        with self._lock:
            self._asked[key] = deadline
            if self._state == "trying":
                self._tries -= 1

    def unsent(self, key: int) -> None:
        """It did not go out after all: that says nothing of the cloud."""
        with self._lock:
            if self._asked.pop(key, None) is not None and self._state == "trying":
                self._tries += 1

    def answered(self, key: int) -> None:
        """Its answer is here."""
        with self._lock:
            now = self._clock.monotonic()
            deadline = self._asked.pop(key, None)
            if deadline is not None:
                self._learn(now, in_time=now <= deadline)
            self._look()

    def reset(self) -> None:
        """The link was lost, or is back: what was known of the cloud is not known any more."""
        with self._lock:
            self._asked.clear()
            self._close()

    def _look(self) -> None:
        now = self._clock.monotonic()
        late = [key for key, deadline in self._asked.items() if now > deadline]
        for key in late:
            del self._asked[key]
            self._learn(now, in_time=False)
        if self._state == "open" and now >= self._until:
            self._state, self._tries, self._tried = "trying", TRIES, []

    def _learn(self, now: float, *, in_time: bool) -> None:
        match self._state:
            case "closed":
                self._outcomes.append((now, in_time))
                while self._outcomes and now - self._outcomes[0][0] > LASTS_S:
                    self._outcomes.popleft()
                count = len(self._outcomes)
                well = sum(good for _, good in self._outcomes)
                if count >= ENOUGH and well < IN_TIME_SHARE * count:
                    self._open(now, PAUSE_S[0])
            case "trying":
                self._tried.append(in_time)
                if sum(self._tried) >= WELL_OF_TRIES:
                    self._close()
                elif self._tried.count(False) > TRIES - WELL_OF_TRIES:
                    self._open(now, min(PAUSE_S[1], 2 * self._pause_s))
            case "open":
                # Of a part that was asked before it opened.
                pass

    def _open(self, now: float, pause_s: float) -> None:
        self._state, self._pause_s = "open", pause_s
        self._until = now + pause_s * self._chance.uniform(0.5, 1.0)
        self._outcomes.clear()

    def _close(self) -> None:
        self._state, self._pause_s = "closed", PAUSE_S[0]
        self._outcomes.clear()
        self._tried = []
