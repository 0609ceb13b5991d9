"""The API's routes. They are plain functions: Starlette runs each on a thread of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from cloud.health.monitor import HealthCheck, ServiceHealth
from cloud.health.running_promise import PromiseMonitor, RunningPromise
from cloud.inference.defect_maps import heat_map
from cloud.records.database import Database
from cloud.records.queries import NO_NUL, Filter, Records
from cloud.records.summary import summarise
from cloud.records.views import (
    DeviceView,
    InspectionCounts,
    InspectionPage,
    InspectionView,
    Summary,
)
from cloud.web.problems import NotFound, Problem
from shared.clock import Clock
from shared.contracts import InspectionKey
from shared.inspection import LARGEST_NUMBER
from shared.web.roles import needs

MAX_PAGE = 500
MAX_MINUTES = 24 * 60

Name = Annotated[str, Path(max_length=64, pattern=NO_NUL)]
Sequence = Annotated[int, Path(ge=1, le=LARGEST_NUMBER)]


class InspectionQuery(Filter):
    """What can be asked of a list of inspections."""

    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(default=None, description="`next` of the page before")


def api_routes(
    records: Records,
    database: Database,
    health: HealthCheck,
    clock: Clock,
) -> APIRouter:
    """Everything under /api."""
    routes = APIRouter(
        prefix="/api", responses={503: {"model": Problem}}, dependencies=[needs("viewer")]
    )

    @routes.get("/inspections")
    def inspections(
        asked: Annotated[InspectionQuery, Query()],
    ) -> InspectionPage:
        """Inspections, newest first."""
        return records.inspections(asked, limit=asked.limit, cursor=asked.cursor)

    @routes.get("/inspections/{device}/{boot}/{sequence}", responses={404: {"model": Problem}})
    def inspection(device: Name, boot: Name, sequence: Sequence) -> InspectionView:
        """One inspection."""
        return find(records, InspectionKey(device, boot, sequence))

    @routes.get(
        "/inspections/{device}/{boot}/{sequence}/map.png",
        response_class=Response,
        responses={
            200: {"content": {"image/png": {}}, "description": "a colour PNG"},
            404: {"model": Problem},
        },
    )
    def defect_map(device: Name, boot: Name, sequence: Sequence) -> Response:
        """The defect map as heat over what the tail saw: the picture itself never came here."""
        pictures = records.pictures(InspectionKey(device, boot, sequence))
        if pictures is None:
            raise NotFound(
                f"there is no defect map of {device}/{boot}/{sequence}",
                fix="only escalations have one here, and only the newest are kept: see keep_maps",
            )
        # What is stored under a key never changes.
        headers = {"cache-control": "private, max-age=86400, immutable"}
        return Response(heat_map(*pictures), media_type="image/png", headers=headers)

    @routes.get("/devices")
    def devices() -> list[DeviceView]:
        """Every device's last state."""
        return records.devices()

    @routes.get("/counts")
    def counts(minutes: Annotated[int, Query(ge=1, le=MAX_MINUTES)] = 30) -> InspectionCounts:
        """Inspections by who decided and how, and per minute."""
        return records.counts(now=clock.utc(), minutes=minutes)

    @routes.get("/summary")
    def summary(since: Annotated[float, Query(description="UTC seconds")] = 0.0) -> Summary:
        """The plant in a few numbers."""
        return summarise(database, since=since)

    @routes.get("/health", responses={503: {"model": ServiceHealth}})
    def healthy(response: Response) -> ServiceHealth:
        """Whether the service can do its work now; 503 where it can't."""
        found = health()
        if not found.ok:
            response.status_code = 503
        return found

    return routes


def promise_routes(promises: PromiseMonitor) -> APIRouter:
    """Whether what is promised still holds."""
    routes = APIRouter(
        prefix="/api", responses={503: {"model": Problem}}, dependencies=[needs("viewer")]
    )

    @routes.get("/promise")
    def promise() -> list[RunningPromise]:
        """What each served bundle promises, beside what labels of control parts say since."""
        return promises()

    return routes


def find(records: Records, key: InspectionKey) -> InspectionView:
    """The inspection. Raises NotFound."""
    found = records.inspection(key)
    if found is None:
        raise NotFound(
            f"there is no inspection {key.device}/{key.boot}/{key.sequence}",
            fix="its device may not have sent it yet; /api/v1/inspections lists those that are",
        )
    return found
