"""The page of what inspecting took, line by line, beside sending every picture."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from cloud.costs.meter import CostMeter
from cloud.dashboard.live import TEMPLATES
from cloud.web.costs import DAY_S, Days
from cloud.web.pages import RecordsContext
from shared.plugins.pages import Page

SPANS = (1, 7, 30, 90)


def cost_page(meter: CostMeter) -> Page[RecordsContext]:
    """Bytes, the tail's time, storage, and what they cost."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        @routes.get("")
        def costs(days: Days = 30) -> Response:
            now = context.clock.utc()
            found = meter.report(now - days * DAY_S, now)
            return context.render("cost.html", found=found, days=days, spans=SPANS)

        return routes

    return Page("Cost", "/cost", TEMPLATES, routes_with, changes=None, group="House", order=5)
