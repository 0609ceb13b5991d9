"""What a shift came to, line by line: a page, a table for programs, and two sheets of paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from cloud.configuration.shifts import ShiftSettings, WorkShift
from cloud.dashboard.form import PageQuery
from cloud.quality.shares import QualityShare
from cloud.quality.shift_report import STOP_MINUTES, LinePlace, LineShiftReport, ShiftReports
from cloud.records.queries import OptionalName
from cloud.web.pages import RecordsContext
from shared.bundles.bundle import Bundle
from shared.certification.promises import describe
from shared.errors import SettingsError
from shared.format import iso
from shared.plugins.pages import Page
from shared.web.spreadsheet import csv_lines

TEMPLATES = Path(__file__).parent / "templates"
HOME = "/shift"
MOST_LINES = 6
SHOWN_SHIFTS = 12
Bundles = Callable[[], Sequence[Bundle]]


class ShiftQuery(PageQuery):
    """Which shift: without a name the one that runs; without a day the last one of that name."""

    site: OptionalName = None
    line: OptionalName = None
    shift: OptionalName = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class ShiftView:
    """What the page shows. over: whether the shift has ended."""

    shift: WorkShift
    over: bool
    reports: Sequence[LineShiftReport]
    lines: Sequence[LinePlace]


def shift_page(
    reports: ShiftReports, shifts: ShiftSettings, bundles: Bundles
) -> Page[RecordsContext]:
    """bundles: those that are served, with what they promise"""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        @routes.get("")
        def shift(asked: Annotated[ShiftQuery, Query()]) -> Response:
            now = context.clock.utc()
            view = view_of(reports, shifts, asked, now)
            return context.render(
                "shift.html",
                asked=asked,
                view=view,
                now=now,
                settings=shifts,
                earlier=shifts.last(now, SHOWN_SHIFTS),
                promises=_promises(bundles),
                stop_minutes=STOP_MINUTES,
                most_lines=MOST_LINES,
                address=address_of,
            )

        @routes.get("/report.csv")
        def table(asked: Annotated[ShiftQuery, Query()]) -> Response:
            view = view_of(reports, shifts, asked, context.clock.utc())
            name = f"shift-{view.shift.day.isoformat()}-{view.shift.name}.csv"
            plain = "".join(one if one.isalnum() or one in "-_." else "_" for one in name)
            headers = {"content-disposition": f'attachment; filename="{plain}"'}
            return Response(rows_of(view), media_type="text/csv; charset=utf-8", headers=headers)

        return routes

    return Page("Shift report", HOME, TEMPLATES, routes_with, group="Quality", order=20)


def address_of(shift: WorkShift, asked: ShiftQuery, path: str = HOME) -> str:
    """Of the same lines in a shift, to be sent to a colleague."""
    given = {"site": asked.site, "line": asked.line, "shift": shift.name, "day": shift.day}
    return f"{path}?{urlencode({name: value for name, value in given.items() if value})}"


def view_of(
    reports: ShiftReports, settings: ShiftSettings, asked: ShiftQuery, now: float
) -> ShiftView:
    """Raises SettingsError for a shift that there is not, RecordsError."""
    shift = chosen_shift(settings, asked, now)
    lines = reports.lines(shift)
    wanted = [
        one for one in lines if asked.line in {None, one.line} and asked.site in {None, one.site}
    ]
    if not wanted and asked.site and asked.line:
        wanted = [LinePlace(asked.site, asked.line)]
    made = reports.reports(wanted[:MOST_LINES], shift, now)
    return ShiftView(shift, shift.until <= now, made, lines)


def chosen_shift(settings: ShiftSettings, asked: ShiftQuery, now: float) -> WorkShift:
    """Raises SettingsError where there is none of this name, or none that has begun."""
    if asked.shift is not None and asked.shift not in settings.names:
        raise SettingsError(
            f"there is no shift {asked.shift}", fix=f"there are: {', '.join(settings.names)}"
        )
    if asked.day is None:
        latest = settings.last(now, 2 * len(settings.names))
        return next(one for one in latest if asked.shift in {None, one.name})
    try:
        placed = settings.on(asked.day)
    except (OverflowError, ValueError) as error:
        raise SettingsError(
            f"the day {asked.day} is none", fix="give one such as 2026-01-31"
        ) from (error)
    found = [one for one in placed if asked.shift in {None, one.name} and one.since <= now]
    if not found:
        raise SettingsError(
            f"no such shift of {asked.day.isoformat()} has begun", fix="ask for an earlier day"
        )
    return found[0] if asked.shift else found[-1]


HEADINGS = (
    *("site", "line", "day", "shift", "zone", "since", "until", "parts"),
    *("passed", "yield", "yield_low", "yield_high"),
    *("rejected", "reject_rate", "reject_low", "reject_high"),
    *("in_review", "caught_after_edge", "escapes_found", "reviews_done", "reviews_open"),
    *("deadline", "minutes", "minutes_without_parts", "kinds"),
)


def rows_of(view: ShiftView) -> str:
    """One row a line, as CSV with a heading; times are UTC."""
    return csv_lines([HEADINGS, *(_row(view.shift, one) for one in view.reports)])


def _row(shift: WorkShift, one: LineShiftReport) -> Iterator[object]:
    figures = one.figures
    yield from (one.place.site, one.place.line, shift.day.isoformat(), shift.name, "UTC")
    yield from (iso(shift.since), iso(shift.until), figures.parts)
    yield from (figures.passed, *_ends(figures.yielded))
    yield from (figures.rejected, *_ends(figures.reject_share))
    yield from (figures.in_review, figures.caught, figures.escaped)
    yield from (figures.labelled, figures.waiting, figures.deadline)
    yield from (one.minutes, one.idle)
    yield "; ".join(f"{bar.kind or 'no kind said'}: {bar.share.count}" for bar in one.kinds)


def _ends(share: QualityShare) -> tuple[str, str, str]:
    if share.rate is None:
        return "", "", ""
    low, high = share.interval
    return f"{share.rate:.6f}", f"{low:.6f}", f"{high:.6f}"


def _promises(bundles: Bundles) -> dict[str, tuple[str, str]]:
    """By bundle id: its name and version, and what it promises."""
    return {
        one.id: (
            f"{one.manifest.name} {one.manifest.version}",
            describe(one.manifest.certificate),
        )
        for one in bundles()
    }
