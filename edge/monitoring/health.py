"""What is wrong now, and what was dropped: for logs, the device's state and `doctor`."""

from __future__ import annotations

import threading
from collections import Counter, deque

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
    """Current problems by component, and counts by reason. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self.pace = Pace()

    def problem(self, component: str, text: str) -> None:
        """A component is in trouble: logged when it starts, not each time it is met."""
        with self._lock:
            known = component in self._problems
            self._problems[component] = redact(text)
        if not known:
            log.error("problem", about=component, error=text)

    def well(self, component: str) -> None:
        """The component is well again."""
        with self._lock:
            known = self._problems.pop(component, None)
        if known is not None:
            log.info("problem_solved", about=component)

    def worker_died(self, name: str, error: BaseException) -> None:
        """An OnDeath: what the thread did is done no more until the agent starts again."""
        self.problem(f"thread {name}", f"it ended: {type(error).__name__}: {error}")

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
