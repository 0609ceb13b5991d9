"""The page of parts: filtered, counted, a page at a time, and to be had as a file."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.dashboard.live import TEMPLATES
from cloud.records.clocks import LATEST
from cloud.records.queries import Filter, Records
from cloud.records.rollups import Rollups
from cloud.records.saved_views import SavedView, SavedViews
from cloud.records.search import FoundInspections, PartCount
from cloud.records.views import InspectionView
from cloud.web.pages import RecordsContext
from cloud.web.route_table import ANY_QUERY
from shared.contracts import DECIDERS, VERDICTS
from shared.errors import SettingsError
from shared.plugins.pages import Page
from shared.web.access import current_caller
from shared.web.forms import form_fields

PATH = "/parts"
ROWS = 50
HOUR_S, DAY_S = 3600.0, 86_400.0
# Words for how far back, beside `since` and `until`.
WHEN = {
    "hour": "Last hour",
    "shift": "Last 8 hours",
    "today": "Today",
    "week": "Last 7 days",
}
_SINCE = {"hour": HOUR_S, "shift": 8 * HOUR_S, "week": 7 * DAY_S}
TIMES = ("since", "until")
OWN = ("when", "zone", "cursor", "newer")
# What stands behind "More to filter by".
MORE = frozenset(
    {
        *("site", "recipe", "bundle", "since", "until", "score_from", "score_to", "part_from"),
        *("part_to", "reviewed", "escalated", "doubtful", "control"),
    }
)
LONGEST_ZONE_MIN = 16 * 60
MOST_SAID = 200


def parts_page(rollups: Rollups, views: SavedViews) -> Page[RecordsContext]:
    """Every part that came here, by what it is asked for."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        # It refuses by itself what it does not know, on the page.
        @routes.get("", openapi_extra=ANY_QUERY)
        def parts(request: Request) -> Response:
            given = dict(request.query_params)
            now = context.clock.utc()
            try:
                asked = plain(given)
                if asked != given:
                    return RedirectResponse(_address(asked), 303)
                wanted = filter_of(asked, now)
                found = context.records.search(
                    wanted,
                    limit=ROWS,
                    cursor=asked.get("cursor"),
                    newer="newer" in asked,
                )
            except SettingsError as error:
                return context.render("parts_refused.html", 422, error=error.message, fix=error.fix)
            kept = {name: value for name, value in asked.items() if name not in {"cursor", "newer"}}
            return context.render(
                "parts.html",
                found=found,
                count=_count(context.records, wanted, found),
                asked=asked,
                choices=_choices(context),
                kinds=sorted({kind for view in found.inspections if (kind := kind_of(view))}),
                more=asked.keys() & MORE,
                said=_said(rollups, now),
                views=views.all(current_caller().name, PATH),
                query=urlencode(kept),
                files=urlencode(_numbers(wanted)),
                newer=found.newer and _address({**kept, "cursor": found.newer, "newer": "true"}),
                older=found.older and _address({**kept, "cursor": found.older}),
            )

        @routes.post("")
        async def saved(request: Request) -> Response:
            said = await form_fields(request)
            return await run_in_threadpool(_saved, context, views, said)

        return routes

    return Page("Parts", PATH, TEMPLATES, routes_with, changes="viewer", group="Parts", order=10)


def _count(records: Records, wanted: Filter, found: FoundInspections) -> PartCount:
    """A count that ended before all was seen gives way to a page that holds all."""
    counted = records.count(wanted)
    if not counted.exact and found.newer is None and found.older is None:
        return PartCount(len(found.inspections), exact=True)
    return counted


def _saved(context: RecordsContext, views: SavedViews, said: dict[str, str]) -> Response:
    """Keep a view, or forget it."""
    account, view = current_caller().name, SavedView(said.get("name", ""), said.get("query", ""))
    try:
        if said.get("action") == "delete":
            views.delete(account, PATH, view.name)
        else:
            views.save(account, PATH, view)
    except SettingsError as error:
        return context.render("parts_refused.html", 422, error=error.message, fix=error.fix)
    return RedirectResponse(f"{PATH}?{view.query}" if view.query else PATH, 303)


def plain(given: dict[str, str]) -> dict[str, str]:
    """What a form sent, as an address to give to others: without what was left empty, and times as
    UTC seconds. Raises SettingsError for a name that means nothing here, and for no time."""
    known = {*Filter.model_fields, *OWN}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise SettingsError(
            f"nothing is called {unknown[0][:80]!r} here", fix=f"take of {', '.join(sorted(known))}"
        )
    zone = _minutes(given.get("zone") or "0")
    asked = {name: value.strip() for name, value in given.items() if value.strip()}
    for name in TIMES:
        if name in asked:
            asked[name] = _seconds(name, asked[name], zone)
    if asked.get("when") != "today":
        asked.pop("zone", None)
    return asked


def filter_of(asked: dict[str, str], now: float) -> Filter:
    """What is to be shown. Raises SettingsError that says which of it can't be."""
    fields = {name: value for name, value in asked.items() if name not in OWN}
    when = asked.get("when")
    if when is not None and when not in WHEN:
        raise SettingsError(f"when is {when[:80]!r}", fix=f"take one of {', '.join(WHEN)}")
    if when == "today":
        zone = timezone(timedelta(minutes=_minutes(asked.get("zone", "0"))))
        today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        fields.setdefault("since", str(today.timestamp()))
    elif when is not None:
        fields.setdefault("since", str(now - _SINCE[when]))
    try:
        return Filter.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"{name} is {str(first['input'])[:80]!r}: {first['msg']}", fix="choose another value"
        ) from error


def _minutes(zone: str) -> int:
    """East of Greenwich."""
    try:
        minutes = int(zone)
    except ValueError:
        minutes = LONGEST_ZONE_MIN + 1
    if abs(minutes) > LONGEST_ZONE_MIN:
        raise SettingsError(f"zone is {zone[:80]!r}", fix="give minutes east of Greenwich")
    return minutes


def _seconds(name: str, said: str, zone: int) -> str:
    try:
        number = float(said)
    except ValueError:
        number = math.nan
    if abs(number) <= LATEST:
        return f"{number:.3f}".rstrip("0").rstrip(".")
    if not math.isnan(number):
        raise SettingsError(f"{name} is {said[:80]!r}", fix="write it as 2026-05-31T14:00")
    try:
        at = datetime.fromisoformat(said)
    except ValueError as error:
        raise SettingsError(
            f"{name} is {said[:80]!r}", fix="write it as 2026-05-31T14:00, or as UTC seconds"
        ) from error
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone(timedelta(minutes=zone)))
    return f"{at.timestamp():.0f}"


def _numbers(wanted: Filter) -> dict[str, Any]:
    """For the files' addresses, which know no words."""
    asked = wanted.model_dump(mode="json", exclude_none=True)
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in asked.items()
    }


def _address(asked: dict[str, str]) -> str:
    return f"{PATH}?{urlencode(asked)}" if asked else PATH


def _choices(context: RecordsContext) -> dict[str, dict[str, str]]:
    """What there is to choose from and how it is called, by what it is."""
    devices = context.records.devices()
    places = {
        name: sorted({getattr(device, name) for device in devices})
        for name in ("site", "line", "device")
    }
    named = {**places, "verdict": VERDICTS, "decided_by": DECIDERS}
    return {"when": WHEN, **{name: {one: one for one in few} for name, few in named.items()}}


def kind_of(view: InspectionView) -> str | None:
    """The kind of defect, as the filter takes it."""
    said = view.label.kind if view.label is not None else None
    return said or (view.tail.kind if view.tail is not None else None)


def _said(rollups: Rollups, now: float) -> dict[str, list[str]]:
    """Lots, recipes and bundles of the last week, to choose from."""
    since = now - 7 * DAY_S
    return {
        "lot": rollups.named("lot", since)[-MOST_SAID:],
        "recipe": rollups.named("recipe", since)[-MOST_SAID:],
        "bundle": rollups.named("bundle", since)[-MOST_SAID:],
    }
