"""What inspecting took, under /api."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from cloud.costs.meter import CostMeter, CostReport
from cloud.web.problems import Problem
from shared.clock import Clock
from shared.web.roles import needs

DAY_S = 86_400.0
Days = Annotated[int, Query(ge=1, le=366, description="back from now")]


def cost_routes(meter: CostMeter, clock: Clock) -> APIRouter:
    """Read only."""
    routes = APIRouter(
        prefix="/api", responses={503: {"model": Problem}}, dependencies=[needs("viewer")]
    )

    @routes.get("/costs")
    def costs(days: Days = 30) -> CostReport:
        """Bytes, the tail's time and storage, line by line, beside sending every picture."""
        now = clock.utc()
        return meter.report(now - days * DAY_S, now)

    return routes
