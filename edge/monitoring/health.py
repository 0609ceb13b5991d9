"""What is wrong now, and what was dropped: for logs, the device's state and `doctor`."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable

from shared.clock import Clock
from shared.episodes import Episodes
from shared.log import get_logger
from shared.redaction import redact

log = get_logger("health")

PARTS_REMEMBERED = 512


class Pace:
    """How long the last parts took from trigger to the gate's decision, milliseconds.

    Safe to share between threads. `seen` counts all there ever were.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=PARTS_REMEMBERED)
        self.seen = 0

    def add(self, edge_ms: float) -> None:
        self._times.append(edge_ms)
        self.seen += 1

    def last(self, count: int) -> list[float]:
        """The newest ones, oldest of them first."""
        times = list(self._times)
        return times[max(0, len(times) - count) :]


class BoxHealth:
    """Current problems by component, and counts by reason. Safe to share between threads.

    episodes   for faults that parts meet one after the other: a line when they begin, not a part
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._dead: tuple[str, BaseException] | None = None
        self._died: Callable[[], None] = lambda: None
        self.episodes = Episodes(clock)
        self.pace = Pace()

    def problem(self, component: str, text: str) -> None:
        """A component is in trouble: logged when it starts, not each time it is met."""
        with self._lock:
            self._problems[component] = redact(text)
        self.episodes.met(component, log.error, "problem", about=component, error=text)

    def well(self, component: str) -> None:
        """The component is well again."""
        with self._lock:
            self._problems.pop(component, None)
        self.episodes.mended(component, log.info, "problem_solved", about=component)

    def worker_died(self, name: str, error: BaseException) -> None:
        """An OnDeath, for threads without which parts get no verdicts: the box has to end."""
        self._dead = self._dead or (name, error)
        self.problem(f"thread {name}", f"it ended: {type(error).__name__}: {error}")
        self._died()

    @property
    def dead(self) -> tuple[str, BaseException] | None:
        """The first thread that has died, and of what."""
        return self._dead

    def on_death(self, handler: Callable[[], None]) -> None:
        """Call `handler`, on the dying thread, when one has died."""
        self._died = handler

    def payload_refused(self) -> None:
        self.count("payloads_refused")

    def count(self, reason: str, by: int = 1) -> None:
        with self._lock:
            self._counts[reason] += by

    @property
    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

    @property
    def problems(self) -> tuple[str, ...]:
        """One line each."""
        with self._lock:
            return tuple(f"{about}: {text}" for about, text in sorted(self._problems.items()))
