"""Reads what is known of every line, and says how it is."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from cloud.health.line_state import (
    Condition,
    LineFacts,
    LineHealth,
    LineLimits,
    line_rates,
    line_state,
)
from cloud.health.monitor import HealthCheck
from cloud.health.plant_state import WINDOW_MINUTES, PlantState, plant_state
from cloud.health.rate_watch import Counted, RateFinding
from cloud.health.running_promise import PromiseMonitor, RunningPromise
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.rollup_tables import ENDPOINTS, LATENCIES, LINE_ENDS, SCORES
from cloud.records.rollups import EVERYWHERE, Dimension, Rollups
from cloud.records.tables import INSPECTIONS, WAITS_FOR_PERSON
from cloud.records.totals import Totals
from cloud.records.views import DeviceView
from shared.clock import Clock

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
MINUTES_S = 2 * HOUR_S
FRESH_S = 1.0
# Promises change with labels and controls, not with parts.
PROMISES_S = 10.0

# What is looked at of minutes, of the day before them, and of all time.
JUDGED = ("inspected", *ENDPOINTS, *LINE_ENDS, *SCORES)
SHOWN = (
    *JUDGED,
    *("escalated", "escalated_bytes", "frame_bytes", "escapes", "final_inspector_reject"),
    *LATENCIES,
)
KEPT = ("waiting", "last_at")
PLACE: tuple[Dimension, ...] = ("site", "line")

Line = tuple[str, str]
Limits = Callable[[str, str], LineLimits]


def usual_limits(_site: str, _line: str) -> LineLimits:
    """The same for every line."""
    return LineLimits()


@dataclass(slots=True)
class _Slow:
    """What is read once a minute; a label may have settled a part since.

    minute  whose reading it is, since 1970
    """

    minute: int = 0
    minutes: Mapping[Line, Mapping[int, Totals]] = field(default_factory=dict)
    counted: Mapping[Line, Mapping[int, Counted]] = field(default_factory=dict)
    day: Mapping[Line, Totals] = field(default_factory=dict)
    ever: Mapping[Line, Totals] = field(default_factory=dict)
    waiting: Mapping[Line, float] = field(default_factory=dict)
    rates: dict[Line, list[RateFinding]] = field(default_factory=dict)


class LineWatch:
    """How every line is, looked at once a second at most. Safe to share between threads.

    What it says follows from the database alone, so every worker of a cloud says the same.
    """

    def __init__(
        self,
        database: Database,
        health: HealthCheck,
        promises: PromiseMonitor,
        clock: Clock,
        limits: Limits = usual_limits,
    ) -> None:
        self._database = database
        self._records = Records(database)
        self._rollups = Rollups(database)
        self._health = health
        self._promises = promises
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._slow = _Slow()
        self._state: PlantState | None = None
        self._series: Mapping[Line, Mapping[int, Totals]] = {}
        self._devices: Sequence[DeviceView] = ()
        self._looked_at = float("-inf")
        self._promised: Sequence[RunningPromise] = ()
        self._promised_at = float("-inf")

    def __call__(self) -> PlantState:
        """Raises RecordsError."""
        with self._lock:
            if self._state is None or self._clock.monotonic() - self._looked_at >= FRESH_S:
                self._state = self._look()
                self._looked_at = self._clock.monotonic()
            return self._state

    @property
    def series(self) -> Mapping[Line, Mapping[int, Totals]]:
        """What came in the last two hours by line and by the start of the minute, as of the last
        look; minutes without a part are left out."""
        return self._series

    @property
    def waiting(self) -> Mapping[Line, int]:
        """How many parts wait for a person, by line, as of a minute ago at most."""
        return {line: totals.waiting for line, totals in self._slow.ever.items()}

    @property
    def devices(self) -> Sequence[DeviceView]:
        """Every device's last state, as of the last look."""
        return self._devices

    @property
    def promises(self) -> Sequence[RunningPromise]:
        """What is promised, as of PROMISES_S before the last look at most."""
        return self._promised

    def _look(self) -> PlantState:
        now = self._clock.utc()
        # What was read slowly just now is the newest, too.
        newest = {} if self._read_slowly(now) else self._read(now - MINUTE_S, now)
        slow = self._slow
        self._devices = self._records.devices()
        self._look_at_promises()
        devices: dict[Line, list[DeviceView]] = defaultdict(list)
        for device in self._devices:
            devices[device.site, device.line].append(device)
        self._series = {
            line: {**slow.minutes.get(line, {}), **newest.get(line, {})}
            for line in sorted({*devices, *slow.ever, *newest})
        }
        states, diverted = [], 0
        recent = now - WINDOW_MINUTES * MINUTE_S
        for line, minutes in self._series.items():
            facts = self._facts(line, minutes, devices[line])
            states.append(self._judge(facts, now))
            diverted += sum(one.deadline for at, one in facts.minutes.items() if at >= recent)
        return plant_state(now, states, [*self._of_cloud(), *self._of_promises()], diverted)

    def _judge(self, facts: LineFacts, now: float) -> LineHealth:
        limits = self._limits(facts.site, facts.line)
        rates = self._slow.rates
        line = (facts.site, facts.line)
        if line not in rates:
            rates[line] = line_rates(facts, now, limits)
        return line_state(facts, rates[line], now, limits)

    def _facts(
        self, line: Line, minutes: Mapping[int, Totals], devices: list[DeviceView]
    ) -> LineFacts:
        slow = self._slow
        known = [slow.ever.get(line, Totals()), *minutes.values()]
        day = slow.day.get(line, Totals())
        # Of the usual gap from part to part only what is recent tells.
        began = [one.first_at for one in (day, *minutes.values()) if one.first_at is not None]
        ended = [one.last_at for one in known if one.last_at is not None]
        return LineFacts(
            *line,
            minutes=dict(sorted(self._counted(line, minutes).items())),
            past=counted(day),
            first_at=min(began, default=None),
            last_at=max(ended, default=None),
            devices=devices,
            oldest_waiting=slow.waiting.get(line),
        )

    def _counted(self, line: Line, minutes: Mapping[int, Totals]) -> Mapping[int, Counted]:
        """Of what was read with others, once for all looks."""
        kept, known = self._slow.minutes.get(line, {}), self._slow.counted.get(line, {})
        return {
            at: known[at] if one is kept.get(at) else counted(one) for at, one in minutes.items()
        }

    def _read(self, since: float, until: float) -> Mapping[Line, Mapping[int, Totals]]:
        found = self._rollups.series_by(PLACE, EVERYWHERE, since, until + 1.0, measures=SHOWN)
        return {(site, line): minutes for (site, line), minutes in found.items()}

    def _read_slowly(self, now: float) -> bool:
        """Once a minute, as soon as another one is whole; whether it was read."""
        slow, minute = self._slow, int(now // MINUTE_S)
        if slow.minute == minute:
            return False
        since = minute * MINUTE_S - MINUTES_S
        rollups, minutes = self._rollups, self._read(since, now)
        day = rollups.by(PLACE, EVERYWHERE, since - DAY_S, since, measures=JUDGED)
        ever = rollups.by(PLACE, measures=KEPT)
        self._slow = _Slow(
            minute=minute,
            minutes=minutes,
            counted={
                line: {at: counted(one) for at, one in every.items()}
                for line, every in minutes.items()
            },
            day={(site, line): totals for (site, line), totals in day.items()},
            ever={(site, line): totals for (site, line), totals in ever.items()},
            waiting=self._oldest_waiting(),
        )
        return True

    def _look_at_promises(self) -> None:
        if self._clock.monotonic() - self._promised_at >= PROMISES_S:
            self._promised = self._promises()
            self._promised_at = self._clock.monotonic()

    def _oldest_waiting(self) -> Mapping[Line, float]:
        row = INSPECTIONS.c
        # From the index of what waits alone. What has a label waits no more: see
        # `cloud.records.settlement`.
        query = (
            select(row.site, row.line, func.min(row.received_at))
            .where(WAITS_FOR_PERSON)
            .group_by(row.site, row.line)
        )
        with self._database.begin() as connection:
            return {(site, line): at for site, line, at in connection.execute(query)}

    def _of_cloud(self) -> list[Condition]:
        health = self._health()
        fix = "see `splitsight cloud` in its log, and the guide on running it"
        return [
            *(Condition("cloud", "bad", text, fix) for text in health.problems),
            *(Condition("cloud_warning", "warn", text, fix) for text in health.warnings),
        ]

    def _of_promises(self) -> list[Condition]:
        return [
            Condition(
                "promise",
                "warn",
                f"Labels contradict a promise of bundle {one.bundle}",
                "certify the bundle anew, on parts of today",
            )
            for one in self._promised
            if one.contradictions
        ]


def counted(totals: Totals) -> Counted:
    """What the judgement of rates needs."""
    ends = totals.line_ends
    return Counted(
        parts=totals.inspected,
        rejected=ends["edge", "reject"] + ends["cloud", "reject"],
        deadline=totals.by_deadline,
        unseen=max(0, totals.inspected - sum(totals.scores)),
    )
