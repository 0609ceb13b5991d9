"""What is said of the plant, as conditions of alerts; and rules as limits of what is said."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from cloud.alerts.conditions import NAMES, AlertCondition, AlertName
from cloud.alerts.keeper import Watch
from cloud.alerts.rules import RuleBook
from cloud.health.line_state import Condition, LineLimits
from cloud.health.plant_state import PlantState
from shared.clock import Clock
from shared.errors import RecordsError

OWN: frozenset[AlertName] = frozenset({"drift"})
"""Names of conditions that come from elsewhere."""
FRESH_S = 2.0
HOUR_S = 3600.0
_NUMBER = re.compile(r"\d+([.,:]\d+)*")


def of_plant(plant: Callable[[], PlantState]) -> Watch:
    """Everything that the live page says, too."""

    def look() -> list[AlertCondition]:
        return [_condition(one) for one in plant().conditions]

    return Watch(frozenset(NAMES) - OWN, look)


class RuleLimits:
    """A line's limits by its rules, at most FRESH_S old. Safe to share between threads."""

    def __init__(self, rules: Callable[[], RuleBook], clock: Clock) -> None:
        """rules: raises RecordsError; then the last ones hold"""
        self._rules = rules
        self._clock = clock
        self._lock = threading.Lock()
        self._book = RuleBook()
        self._read_at = float("-inf")

    def __call__(self, site: str, line: str) -> LineLimits:
        book = self._fresh()
        usual = LineLimits()

        def limit(name: AlertName, otherwise: float, unit: float = 1.0) -> float:
            said = book.of(name, site, line).limit
            return otherwise if said is None else said * unit

        return LineLimits(
            quiet_s=limit("no_parts", usual.quiet_s),
            quiet_most_s=max(usual.quiet_most_s, limit("no_parts", 0.0)),
            reject_most=limit("reject_rate", usual.reject_most, 0.01),
            deadline_most=limit("deadline_share", usual.deadline_most, 0.01),
            missed_most=limit("missed_pictures", usual.missed_most, 0.01),
            review_s=limit("review_queue", usual.review_s, HOUR_S),
            silent_s=limit("box_silent", usual.silent_s),
        )

    def _fresh(self) -> RuleBook:
        with self._lock:
            now = self._clock.monotonic()
            if now - self._read_at >= FRESH_S:
                self._read_at = now
                try:
                    self._book = self._rules()
                except RecordsError:
                    return self._book
            return self._book


def _condition(one: Condition) -> AlertCondition:
    name: AlertName = one.name
    if name in {"cloud", "cloud_warning", "box_trouble"} and "certificate" in one.says.lower():
        name = "certificate"
    return AlertCondition(
        name,
        _sentence(one.says),
        _sentence(one.fix),
        site=one.site,
        line=one.line,
        device=one.device,
        # Several of one name at no line are told apart by what they say, but for its numbers.
        about="" if one.line else _NUMBER.sub("#", one.says)[:200],
        since=one.since,
    )


def _sentence(text: str) -> str:
    begun = text[:1].upper() + text[1:]
    return begun if begun.endswith((".", "?", "!")) else f"{begun}."
