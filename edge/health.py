"""What is wrong now, and what was dropped: for logs, the device's state and `doctor`."""

from __future__ import annotations

import threading
from collections import Counter

from shared.log import get_logger, redact

log = get_logger("health")


class Health:
    """Current problems by component, and counts by reason. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

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
