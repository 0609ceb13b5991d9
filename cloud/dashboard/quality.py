"""The page of quality: yield, kinds of defects and trends with their limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from cloud.configuration.shifts import ShiftSettings, WorkShift
from cloud.dashboard.form import PageQuery
from cloud.quality.control_chart import FEWEST, RUN, control_chart
from cloud.quality.figures import COUNTED, QualityFigures
from cloud.quality.pareto import pareto
from cloud.quality.trend import TrendPoint, by_shift, by_shift_and, days_between, shifts_between
from cloud.records.queries import OptionalName
from cloud.records.rollups import Rollups, RollupScope
from cloud.web.pages import RecordsContext
from shared.plugins.pages import Page

TEMPLATES = Path(__file__).parent / "templates"
HOME = "/quality"
DAY_S = 86_400.0
MOST_DAYS = 92
BY_SHIFT_DAYS = 14
"""So many days are shown shift by shift; more of them day by day."""
MOST_GROUPS = 20
By = Literal["line", "lot", "recipe", "shift"]
GROUPINGS: tuple[By, ...] = get_args(By)
Drift = Callable[[float, str | None, str | None], Mapping[str, object]]
"""Facts for `fragments/drift.html`: of now, and of a site and a line where these are not None."""


class QualityQuery(PageQuery):
    """What can be asked of the page; the names are those of a list of inspections."""

    site: OptionalName = None
    line: OptionalName = None
    lot: OptionalName = None
    recipe: OptionalName = None
    shift: OptionalName = None
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 7
    by: By = "line"

    @property
    def scope(self) -> RollupScope:
        return RollupScope(site=self.site, line=self.line, lot=self.lot, recipe=self.recipe)

    def narrowed(self, name: str) -> dict[str, str]:
        """The same of one of the groups that are compared, for an address."""
        given = self.model_dump(exclude={"by"}, exclude_none=True) | {self.by: name}
        return {key: str(value) for key, value in given.items()}

    def parts_of(self, kind: str, since: float) -> str:
        """The address of the list of parts of one kind of defect since then, UTC seconds."""
        place = self.model_dump(include={"site", "line", "lot", "recipe"}, exclude_none=True)
        return f"/parts?{urlencode({**place, 'kind': kind, 'since': f'{since:.0f}'})}"


def quality_page(
    rollups: Rollups, shifts: ShiftSettings, drift: Drift | None = None
) -> Page[RecordsContext]:
    """drift: None: nobody computes it here"""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        @routes.get("")
        def quality(asked: Annotated[QualityQuery, Query()]) -> Response:
            now = context.clock.utc()
            facts = _facts(rollups, shifts, asked, now)
            facts |= drift(now, asked.site, asked.line) if drift else {}
            return context.render("quality.html", drift=bool(facts.get("streams")), **facts)

        return routes

    return Page("Quality", HOME, TEMPLATES, routes_with, group="Quality", order=10)


def _facts(
    rollups: Rollups, settings: ShiftSettings, asked: QualityQuery, now: float
) -> dict[str, Any]:
    since = settings.day(settings.day_of(now - (asked.days - 1) * DAY_S)).since
    points = _trend(rollups, settings, asked, (since, now))
    figures = QualityFigures.sum(one.figures for one in points)
    # All of the page is about one time: from where the first shift begins.
    since = points[0].shift.since if points else since
    kinds = rollups.kinds(asked.scope, since, now)
    return {
        "asked": asked,
        "since": since,
        "now": now,
        "figures": figures,
        "points": points,
        "charts": _charts(points),
        "kinds": pareto(kinds),
        "all_kinds": asked.shift is not None,
        "groups": _groups(rollups, asked, points, (since, now)),
        "most_groups": MOST_GROUPS,
        "groupings": GROUPINGS,
        "shifts": settings,
        "per": "shift" if asked.days <= BY_SHIFT_DAYS or asked.shift else "day",
        "few": FEWEST,
        "run": RUN,
    }


def _trend(
    rollups: Rollups, settings: ShiftSettings, asked: QualityQuery, time: tuple[float, float]
) -> list[TrendPoint]:
    every: list[WorkShift]
    if asked.days <= BY_SHIFT_DAYS or asked.shift:
        every = shifts_between(settings, *time)
    else:
        every = days_between(settings, *time)
    found = by_shift(rollups, asked.scope, every)
    return [one for one in found if asked.shift in {None, one.shift.name}]


def _charts(points: list[TrendPoint]) -> list[dict[str, Any]]:
    shown = (
        ("reject", "Rejected", "parts whose verdict is reject, inspectors' word counted in"),
        (
            "caught",
            "Caught after the edge",
            "parts that the box was not sure of, and that cloud or inspector rejected",
        ),
        ("escalated", "Escalated", "parts sent to the cloud"),
    )
    charts = []
    for name, title, about in shown:
        shares = [getattr(one.figures, f"{name}_share") for one in points]
        charts.append(
            {"name": name, "title": title, "about": about, "chart": control_chart(shares)}
        )
    return charts


def _groups(
    rollups: Rollups, asked: QualityQuery, points: list[TrendPoint], time: tuple[float, float]
) -> list[tuple[str, QualityFigures]]:
    if asked.by == "shift":
        names = dict.fromkeys(one.shift.name for one in points)
        return [
            (name, QualityFigures.sum(p.figures for p in points if p.shift.name == name))
            for name in names
        ]
    if asked.shift:
        every = by_shift_and(rollups, asked.by, asked.scope, [one.shift for one in points])
        rows = list(every.items())
    else:
        found = rollups.by((asked.by,), asked.scope, *time, measures=COUNTED)
        rows = [(group, QualityFigures.of(totals)) for (group,), totals in found.items()]
    rows = [row for row in rows if row[1].parts]
    return sorted(rows, key=lambda row: (-row[1].parts, row[0]))
