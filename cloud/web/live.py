"""The parts of the page that change, rendered at most once a second for all who watch."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud.health.monitor import HealthCheck
from cloud.health.running_promise import PromiseMonitor
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.summary import count_waiting, summarise
from cloud.records.views import InspectionView, Minute, Summary
from cloud.web import wording
from shared.clock import Clock
from shared.contracts import DECIDERS
from shared.errors import RecordsError
from shared.web.html import environment

TEMPLATES = Path(__file__).parent / "templates"
FRAGMENTS = ("state", "tiles", "promise", "chart", "devices", "defects")
MINUTES = 30
DEFECTS = 12
REFRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class Share:
    """A decider's part of a bar: per cent from and of the whole."""

    decider: str
    count: int
    start: float
    width: float


class LiveFragments:
    """HTML by fragment name. Safe to share between threads."""

    def __init__(
        self,
        records: Records,
        database: Database,
        health: HealthCheck,
        promises: PromiseMonitor,
        clock: Clock,
    ) -> None:
        self._records = records
        self._database = database
        self._health = health
        self._promises = promises
        self._clock = clock
        self._templates = environment(TEMPLATES, words=wording, deciders=DECIDERS)
        self._lock = threading.Lock()
        self._rendered: dict[str, str] = {}
        self._rendered_at = float("-inf")

    def fragments(self) -> dict[str, str]:
        """The newest rendering; when records can't be read, the last one and what is wrong."""
        with self._lock:
            if self._clock.monotonic() - self._rendered_at >= REFRESH_S or not self._rendered:
                self._rendered = self._render()
                self._rendered_at = self._clock.monotonic()
            return dict(self._rendered)

    def _render(self) -> dict[str, str]:
        try:
            facts = self._facts()
        except RecordsError as error:
            told = {"sign": "!", "state": "Records can't be read", "problems": [str(error)]}
            state = self._templates.get_template("fragments/state.html").render(told)
            empty = dict.fromkeys(FRAGMENTS, "")
            return {**empty, **self._rendered, "state": state}
        return {
            name: self._templates.get_template(f"fragments/{name}.html").render(facts)
            for name in FRAGMENTS
        }

    def _facts(self) -> dict[str, Any]:
        now = self._clock.utc()
        minutes = self._records.counts(now=now, minutes=MINUTES).minutes
        summary = summarise(self._database, since=minutes[0].at)
        devices = self._records.devices()
        health = self._health()
        problems = [*health.problems, *health.warnings]
        promises = self._promises()
        contradictions = [says for one in promises for says in one.contradictions]
        state = wording.site_state(devices, summary, problems, contradictions)
        told = [*problems, *contradictions]
        return {
            "minutes": minutes,
            "window": MINUTES,
            "summary": summary,
            "waiting": count_waiting(self._database),
            "shares": _shares(summary),
            "per_minute": parts_per_minute(minutes, now),
            "devices": devices,
            "defects": telling_first(self._records.last_defects(4 * DEFECTS))[:DEFECTS],
            "promises": promises,
            "problems": told,
            "state": state,
            "sign": "✓" if state == "All well" else "!" if told else "i",
        }


def telling_first(views: list[InspectionView]) -> list[InspectionView]:
    """Those with a defect map before those that the edge rejected alone, each newest first."""
    return sorted(views, key=lambda view: view.tail is None or not view.tail.has_map)


def parts_per_minute(minutes: list[Minute], now: float) -> float:
    """The rate over the newest five minutes, or over fewer where parts began to come later."""
    recent = minutes[-5:]
    first = next((minute for minute in recent if minute.total), None)
    if first is None:
        return 0.0
    began = recent[0].at if first is recent[0] else first.at
    return sum(minute.total for minute in recent) / max((now - began) / 60, 1.0)


def _shares(summary: Summary) -> list[Share]:
    shares, start = [], 0.0
    for decider in DECIDERS:
        count = summary.by_decider[decider]
        width = 100 * count / summary.inspected if summary.inspected else 0.0
        shares.append(Share(decider, count, start, width))
        start += width
    return shares
