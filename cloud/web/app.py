"""The HTTP side as one ASGI app: the API and the dashboard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from cloud.health.monitor import HealthCheck
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.web.access import Access, AccessMiddleware
from cloud.web.labels import review_routes
from cloud.web.live import LiveFragments
from cloud.web.pages import STATIC, dashboard_routes
from cloud.web.problems import handle_problems
from cloud.web.routes import api_routes
from shared.clock import Clock, SystemClock
from shared.plugins.services import Service

LOCAL_NAMES = ["127.0.0.1", "localhost", "[::1]"]


@dataclass(frozen=True, slots=True)
class Backstage:
    """What the app reads from.

    token     what callers must know; None lets everyone in who calls by a local name
    stopping  set when the service ends, so that live pages let go
    services  what is plugged in, with routes and pages of its own
    reviewed  called when an inspector has said something
    """

    database: Database
    health: HealthCheck
    token: str | None = None
    clock: Clock = field(default_factory=SystemClock)
    stopping: threading.Event = field(default_factory=threading.Event)
    services: Sequence[Service] = ()
    reviewed: Callable[[], None] = lambda: None


def create_app(backstage: Backstage) -> FastAPI:
    """The app, ready to be served."""
    access = Access(backstage.token)
    records = Records(backstage.database)
    # FastAPI's own documentation pages load scripts from a CDN.
    app = FastAPI(
        title="splitsight",
        summary="Inspections, devices and defect maps",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    handle_problems(app)
    app.include_router(api_routes(records, backstage.database, backstage.health, backstage.clock))
    app.include_router(
        review_routes(records, backstage.database, backstage.clock, backstage.reviewed)
    )
    live = LiveFragments(records, backstage.database, backstage.health, backstage.clock)
    pages = [page for service in backstage.services for page in service.pages]
    app.include_router(dashboard_routes(records, live, access, backstage.stopping, pages))
    for service in backstage.services:
        for router in service.routers:
            app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(AccessMiddleware, access=access)
    if not access.required:
        # Else a page from elsewhere could point its own name at 127.0.0.1 and read along.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_NAMES)
    return app


def openapi(services: Sequence[Service] = ()) -> dict[str, Any]:
    """The API's OpenAPI description, without a running service. `services` are not started."""

    def no_health() -> Any:
        raise RuntimeError("no service runs: only its routes are described")

    return create_app(Backstage(Database("sqlite://"), no_health, services=services)).openapi()
