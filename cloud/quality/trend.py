"""Figures of a line over time, shift by shift or day by day, by the plant's own clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cloud.configuration.shifts import ShiftSettings, WorkShift
from cloud.quality.figures import COUNTED, QualityFigures
from cloud.records.rollups import Dimension, Rollups, RollupScope
from cloud.records.totals import Totals

STEPS = (86_400, 3600, 1800, 900, 300, 60)


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """What came in one shift, or on one day."""

    shift: WorkShift
    figures: QualityFigures


def by_shift(rollups: Rollups, scope: RollupScope, shifts: Sequence[WorkShift]) -> list[TrendPoint]:
    """Shifts or days in the order of time; there may be gaps between. Raises RecordsError."""
    if not shifts:
        return []
    every = rollups.spans((), scope, _spans(shifts), step_of(shifts), measures=COUNTED)
    found = every.get((), [Totals()] * len(shifts))
    return [
        TrendPoint(one, QualityFigures.of(totals))
        for one, totals in zip(shifts, found, strict=True)
    ]


def by_shift_and(
    rollups: Rollups, dimension: Dimension, scope: RollupScope, shifts: Sequence[WorkShift]
) -> dict[str, QualityFigures]:
    """What came in all of these shifts together, by line, lot or recipe. Raises RecordsError."""
    if not shifts:
        return {}
    found = rollups.spans((dimension,), scope, _spans(shifts), step_of(shifts), measures=COUNTED)
    return {
        name: QualityFigures.sum(map(QualityFigures.of, every)) for (name,), every in found.items()
    }


def _spans(shifts: Sequence[WorkShift]) -> list[tuple[float, float]]:
    return [(one.since, one.until) for one in shifts]


def step_of(shifts: Sequence[WorkShift]) -> int:
    """The largest step that starts wherever one of these does."""
    bounds = [bound for one in shifts for bound in (one.since, one.until)]
    return next((step for step in STEPS if all(bound % step == 0 for bound in bounds)), STEPS[-1])


def shifts_between(settings: ShiftSettings, since: float, until: float) -> list[WorkShift]:
    """Every shift that has begun in this time, UTC seconds, in order."""
    return _placed(settings, since, until, settings.on)


def days_between(settings: ShiftSettings, since: float, until: float) -> list[WorkShift]:
    """Every calendar day that has begun in this time, in order."""
    return _placed(settings, since, until, lambda day: [settings.day(day)])


def _placed(
    settings: ShiftSettings, since: float, until: float, on: Callable[..., Sequence[WorkShift]]
) -> list[WorkShift]:
    day, found = settings.day_of(since), list[WorkShift]()
    while day <= settings.day_of(until):
        found += [one for one in on(day) if since <= one.since < until]
        day += timedelta(days=1)
    return sorted(found, key=lambda one: one.since)
