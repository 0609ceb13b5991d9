"""What a shift came to, line by line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cloud.configuration.shifts import WorkShift
from cloud.quality.figures import COUNTED, QualityFigures
from cloud.quality.pareto import ParetoBar, pareto
from cloud.records.rollups import EVERYWHERE, Dimension, Rollups, RollupScope
from cloud.records.totals import Totals

MINUTE_S = 60
BY_LINE: tuple[Dimension, ...] = ("site", "line")
BY_BUNDLE: tuple[Dimension, ...] = (*BY_LINE, "bundle")
STOP_MINUTES = 5
"""So long without a part is a stop of its own."""


class LinePlace(NamedTuple):
    """A line of a site."""

    site: str
    line: str


class Stop(NamedTuple):
    """Minutes without a part, one after the other; UTC seconds."""

    since: int
    until: int

    @property
    def minutes(self) -> int:
        return (self.until - self.since) // MINUTE_S


class ShiftAlert(NamedTuple):
    """An alert that was raised or still open in a shift; for people."""

    at: float
    says: str
    state: str


class ShiftAlerts(Protocol):
    """Whoever keeps alerts."""

    def during(
        self, places: Sequence[LinePlace], since: float, until: float
    ) -> Mapping[LinePlace, Sequence[ShiftAlert]]:
        """Those of these lines, in order, UTC seconds; lines without one may lack. Raises
        RecordsError."""


class NoShiftAlerts:
    """None are kept: for tests, and where alerts are off."""

    def during(
        self, places: Sequence[LinePlace], since: float, until: float
    ) -> Mapping[LinePlace, Sequence[ShiftAlert]]:
        del places, since, until
        return {}


@dataclass(frozen=True, slots=True)
class LineShiftReport:
    """One line in one shift.

    idle      minutes without a part, of the `minutes` of it that are over
    stops     those of them that make STOP_MINUTES or more in a row
    bundles   parts that each bundle decided, the one with most parts first
    """

    place: LinePlace
    figures: QualityFigures
    kinds: Sequence[ParetoBar]
    minutes: int
    idle: int
    stops: Sequence[Stop]
    bundles: Mapping[str, int]
    alerts: Sequence[ShiftAlert]

    @property
    def longest(self) -> Stop | None:
        return max(self.stops, key=lambda one: one.minutes, default=None)


class ShiftReports:
    """Makes reports. Safe to share between threads; methods raise RecordsError."""

    def __init__(self, rollups: Rollups, alerts: ShiftAlerts) -> None:
        self._rollups = rollups
        self._alerts = alerts

    def lines(self, shift: WorkShift) -> list[LinePlace]:
        """Lines that had a part in it."""
        found = self._rollups.by(
            ("site", "line"), since=shift.since, until=shift.until, measures=("inspected",)
        )
        return sorted(LinePlace(site, line) for (site, line), one in found.items() if one.inspected)

    def report(self, place: LinePlace, shift: WorkShift, now: float) -> LineShiftReport:
        """Of one line; see `reports`."""
        return self.reports([place], shift, now)[0]

    def reports(
        self, places: Sequence[LinePlace], shift: WorkShift, now: float
    ) -> list[LineShiftReport]:
        """`now`: of a shift that is not over, minutes to come are no minutes without a part."""
        if not places:
            return []
        # Of all lines at once, or each would be asked for anew; one is asked for alone.
        scope = RollupScope(*places[0]) if len(places) == 1 else EVERYWHERE
        until = min(shift.until, now // MINUTE_S * MINUTE_S)
        first, last = int(shift.since), int(max(shift.since, until))
        minutes = self._rollups.series_by(
            BY_LINE, scope, first, last, MINUTE_S, measures=("inspected",)
        )
        bundles: dict[LinePlace, dict[str, Totals]] = defaultdict(dict)
        found = self._rollups.by(BY_BUNDLE, scope, shift.since, shift.until, measures=COUNTED)
        for (site, line, bundle), one in found.items():
            bundles[LinePlace(site, line)][bundle] = one
        kinds = self._rollups.kinds_by(BY_LINE, scope, shift.since, shift.until)
        alerts = self._alerts.during(places, shift.since, shift.until)
        return [
            _report(
                place,
                {at: _parts(minutes.get(place, {}), at) for at in range(first, last, MINUTE_S)},
                bundles[place],
                kinds.get(place, {}),
                alerts.get(place, ()),
            )
            for place in places
        ]


def _parts(minutes: Mapping[int, Totals], at: int) -> int:
    return minutes[at].inspected if at in minutes else 0


def _report(
    place: LinePlace,
    parts: Mapping[int, int],
    bundles: Mapping[str, Totals],
    kinds: Mapping[str, int],
    alerts: Sequence[ShiftAlert],
) -> LineShiftReport:
    """parts: by the start of each minute that is over"""
    counted = {bundle: one.inspected for bundle, one in bundles.items() if one.inspected}
    return LineShiftReport(
        place=place,
        figures=QualityFigures.sum(map(QualityFigures.of, bundles.values())),
        kinds=pareto(kinds),
        minutes=len(parts),
        idle=sum(not count for count in parts.values()),
        stops=stops_of(parts),
        bundles=dict(sorted(counted.items(), key=lambda one: (-one[1], one[0]))),
        alerts=alerts,
    )


def stops_of(minutes: Mapping[int, int]) -> list[Stop]:
    """minutes: parts by the start of each minute, in order"""
    found, since = list[Stop](), None
    at = 0
    for at, parts in minutes.items():
        if parts:
            if since is not None:
                found.append(Stop(since, at))
            since = None
        elif since is None:
            since = at
    if since is not None:
        found.append(Stop(since, at + MINUTE_S))
    return [stop for stop in found if stop.minutes >= STOP_MINUTES]
