"""When a condition becomes an alert: for each line as its engineers want it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cloud.alerts.conditions import KINDS, NAMES, AlertCondition, AlertName


@dataclass(frozen=True, slots=True)
class Rule:
    """How the conditions of one name are told at one line.

    site, line   of both empty: everywhere where there is no rule of its own
    enabled      whether they are told at all
    limit        of their measure, from which on they count; None: where the condition begins
    delay_s, clear_s, again_s   see `AlertKind`
    """

    name: AlertName
    site: str = ""
    line: str = ""
    enabled: bool = True
    limit: float | None = None
    delay_s: float = 0.0
    clear_s: float = 30.0
    again_s: float = 3600.0

    @classmethod
    def usual(cls, name: AlertName, site: str = "", line: str = "") -> Rule:
        kind = KINDS[name]
        return cls(name, site, line, True, kind.limit, kind.delay_s, kind.clear_s, kind.again_s)

    def holds(self, condition: AlertCondition) -> bool:
        """Whether the condition counts under this rule."""
        if not self.enabled:
            return False
        if self.limit is None or condition.measure is None:
            return True
        return condition.measure >= self.limit

    def facts(self) -> dict[str, Any]:
        """For the audit log."""
        return {
            "enabled": self.enabled,
            "limit": self.limit,
            "delay_s": self.delay_s,
            "clear_s": self.clear_s,
            "again_s": self.again_s,
        }


@dataclass(frozen=True)
class RuleBook:
    """The rules that somebody set; for all else the usual ones."""

    rules: Iterable[Rule] = ()
    _known: dict[tuple[str, str, str], Rule] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known = {(rule.name, rule.site, rule.line): rule for rule in self.rules}
        object.__setattr__(self, "_known", known)

    def of(self, name: AlertName, site: str = "", line: str = "") -> Rule:
        """The line's own, else that of everywhere, else the usual one."""
        return (
            self._known.get((name, site, line))
            or self._known.get((name, "", ""))
            or Rule.usual(name, site, line)
        )

    def all_of(self, site: str, line: str) -> list[Rule]:
        """One for each name, as they hold at a line."""
        return [self.of(name, site, line) for name in NAMES]
