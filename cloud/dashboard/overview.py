"""The live page and the wall view; and the streams that keep them live."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from cloud.dashboard.live import STRIP, TEMPLATES, WALL, LiveFragments, LiveScope
from cloud.dashboard.stream import LiveResponse, LiveStreams
from cloud.records.queries import Filter
from cloud.web.pages import RecordsContext
from shared.plugins.pages import Page
from shared.web.access import visit_of

Where = Annotated[str, Query(max_length=63)]
Cursor = Annotated[str | None, Query(max_length=400)]


def live_page(live: LiveFragments, streams: LiveStreams) -> Page[RecordsContext]:
    """What happens now."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()
        page, records = context.render, context.records

        @routes.get("/")
        def overview(site: Where = "", line: Where = "", before: Cursor = None) -> Response:
            """before: where a strip that stands still begins; none: it moves"""
            scope = LiveScope(site, line)
            wanted = Filter(site=site or None, line=line or None)
            strip = None
            if before is not None:
                strip = records.inspections(wanted, limit=STRIP, cursor=before or None)
            fragments = live.fragments(scope)
            return page("overview.html", fragments=fragments, scope=scope, strip=strip)

        @routes.get("/events")
        def events(request: Request, site: Where = "", line: Where = "") -> Response:
            scope = LiveScope(site, line)
            return LiveResponse(streams.hear(scope, visit_of(request).stays))

        return routes

    return Page("Live", "/", TEMPLATES, routes_with, group="Now", order=10)


def wall_page(live: LiveFragments, streams: LiveStreams) -> Page[RecordsContext]:
    """Every line in digits that are read from across the hall."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        @routes.get("")
        def wall(site: Where = "") -> Response:
            scope = LiveScope(site, fragments=WALL)
            return context.render("wall.html", fragments=live.fragments(scope), scope=scope)

        @routes.get("/events")
        def events(request: Request, site: Where = "") -> Response:
            scope = LiveScope(site, fragments=WALL)
            return LiveResponse(streams.hear(scope, visit_of(request).stays))

        return routes

    return Page("Wall", "/wall", TEMPLATES, routes_with, group="Now", order=20)
