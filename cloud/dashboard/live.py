"""The parts of the live pages that change, rendered at most once a second for all who watch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud.dashboard import wording
from cloud.dashboard.figures import LineFigures, figures, together
from cloud.health.line_watch import Line, LineWatch
from cloud.health.plant_state import WINDOW_MINUTES, PlantState
from cloud.records.queries import Filter, Records
from cloud.records.totals import Totals
from cloud.records.views import Minute
from shared.clock import Clock
from shared.contracts import DECIDERS
from shared.errors import RecordsError
from shared.web.html import environment

TEMPLATES = Path(__file__).parent / "templates"
FRAGMENTS = ("state", "lines", "strip", "defects", "chart", "devices", "promise")
WALL = ("wall",)
DEFECTS = 12
STRIP = 24
REFRESH_S = 1.0
# Scopes that somebody watches at once; each is rendered for all of its viewers together.
MOST_SCOPES = 64


@dataclass(frozen=True, slots=True)
class LiveScope:
    """What of the plant is watched; empty: all of it.

    fragments   which parts of a page
    """

    site: str = ""
    line: str = ""
    fragments: tuple[str, ...] = FRAGMENTS

    def holds(self, line: Line) -> bool:
        return self.site in {"", line[0]} and self.line in {"", line[1]}


EVERYTHING = LiveScope()


@dataclass(slots=True)
class _Rendered:
    at: float = float("-inf")
    html: dict[str, str] = field(default_factory=dict)


class LiveFragments:
    """HTML by fragment name. Safe to share between threads."""

    def __init__(self, records: Records, watch: LineWatch, clock: Clock) -> None:
        self._records = records
        self._watch = watch
        self._clock = clock
        self._templates = environment(TEMPLATES, words=wording, deciders=DECIDERS)
        self._lock = threading.Lock()
        self._rendered: OrderedDict[LiveScope, _Rendered] = OrderedDict()

    def fragments(self, scope: LiveScope = EVERYTHING) -> dict[str, str]:
        """The newest rendering; when records can't be read, the last one and what is wrong."""
        with self._lock:
            known = self._rendered.setdefault(scope, _Rendered())
            self._rendered.move_to_end(scope)
            while len(self._rendered) > MOST_SCOPES:
                self._rendered.popitem(last=False)
            if self._clock.monotonic() - known.at >= REFRESH_S or not known.html:
                known.html = self._render(scope, known.html)
                known.at = self._clock.monotonic()
            return dict(known.html)

    def _render(self, scope: LiveScope, before: Mapping[str, str]) -> dict[str, str]:
        try:
            facts = self._facts(scope)
        except RecordsError as error:
            facts = {"unreadable": str(error)}
            empty = {**dict.fromkeys(scope.fragments, ""), **before}
            return {**empty, scope.fragments[0]: self._fill(scope.fragments[0], facts)}
        return {name: self._fill(name, facts) for name in scope.fragments}

    def _fill(self, name: str, facts: Mapping[str, Any]) -> str:
        told = {"unreadable": "", **facts}
        return self._templates.get_template(f"fragments/{name}.html").render(told)

    def _facts(self, scope: LiveScope) -> dict[str, Any]:
        state, series = self._watch(), self._watch.series
        since = int(state.at // 60) * 60 - 60 * (WINDOW_MINUTES - 1)
        held = {line: minutes for line, minutes in series.items() if scope.holds(line)}
        lines = [
            LineFigures(
                one,
                figures(held[one.site, one.line], since),
                self._watch.waiting.get((one.site, one.line), 0),
            )
            for one in state.lines
            if (one.site, one.line) in held
        ]
        facts: dict[str, Any] = {
            "plant": state,
            "conditions": _conditions(state, scope),
            "scope": scope,
            "lines": lines,
            "window": WINDOW_MINUTES,
        }
        if "chart" in scope.fragments:
            facts |= self._more(scope, held, since)
        return facts

    def _more(
        self, scope: LiveScope, held: Mapping[Line, Mapping[int, Totals]], since: int
    ) -> dict[str, Any]:
        wanted = Filter(site=scope.site or None, line=scope.line or None)
        devices = [
            device for device in self._watch.devices if scope.holds((device.site, device.line))
        ]
        return {
            "minutes": _minutes(together(held.values(), since), since),
            "devices": devices,
            "strip": self._records.inspections(wanted, limit=STRIP),
            "defects": self._records.last_defects(DEFECTS, wanted.site, wanted.line),
            "promises": self._watch.promises,
        }


def _conditions(state: PlantState, scope: LiveScope) -> list[Any]:
    return [one for one in state.conditions if not one.line or scope.holds((one.site, one.line))]


def _minutes(found: Mapping[int, Mapping[Any, int]], since: int) -> list[Minute]:
    starts = range(since, since + 60 * WINDOW_MINUTES, 60)
    return [Minute(at=at, **found.get(at, {})) for at in starts]
