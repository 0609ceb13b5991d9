"""The HTTP side as one ASGI app: the API and the dashboard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from cloud.health.monitor import HealthCheck
from cloud.health.running_promise import Certificates, PromiseMonitor
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.web import wording
from cloud.web.access import SIGN_IN, Access, AccessMiddleware
from cloud.web.labels import label_routes
from cloud.web.live import LiveFragments
from cloud.web.pages import STATIC, RecordsContext, dashboard
from cloud.web.problems import handle_problems
from cloud.web.routes import api_routes, promise_routes
from shared.clock import Clock, SystemClock
from shared.contracts import DECIDERS
from shared.log import get_logger
from shared.plugins.group import LoadedPlugin
from shared.plugins.pages import PAGES, Page
from shared.plugins.services import Service
from shared.web.html import environment

log = get_logger("web")

RESERVED = ("/api", "/events", "/inspections", SIGN_IN, "/static")
LOCAL_NAMES = ["127.0.0.1", "localhost", "[::1]"]


@dataclass(frozen=True, slots=True)
class Backstage:
    """What the app reads from.

    token     what callers must know; None lets everyone in who calls by a local name
    stopping  set when the service ends, so that live pages let go
    services  what is plugged in, with routes and pages of its own
    labelled  called when an inspector has labelled a part
    serves    the bundles that are served now, with what they promise
    """

    database: Database
    health: HealthCheck
    token: str | None = None
    clock: Clock = field(default_factory=SystemClock)
    stopping: threading.Event = field(default_factory=threading.Event)
    services: Sequence[Service] = ()
    labelled: Callable[[], None] = lambda: None
    serves: Certificates = dict


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
    promises = PromiseMonitor(backstage.database, backstage.serves)
    app.include_router(api_routes(records, backstage.database, backstage.health, backstage.clock))
    app.include_router(promise_routes(promises))
    app.include_router(
        label_routes(records, backstage.database, backstage.clock, backstage.labelled)
    )
    for service in backstage.services:
        for router in service.routers:
            app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    live = LiveFragments(records, backstage.database, backstage.health, promises, backstage.clock)
    app.state.plugged = add_pages(
        app, dashboard(live, access, backstage.stopping), records, backstage
    )
    app.add_middleware(AccessMiddleware, access=access)
    if not access.required:
        # Else a page from elsewhere could point its own name at 127.0.0.1 and read along.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_NAMES)
    return app


def add_pages(
    app: FastAPI, own: Page[RecordsContext], records: Records, backstage: Backstage
) -> list[LoadedPlugin[Page[Any]]]:
    """Serve the cloud's own pages, those of services and those that packages plug in.

    Returns what is plugged in; what can't be used is not served, and the others are.
    """
    known: list[Page[Any]] = [
        own,
        *(page for service in backstage.services for page in service.pages),
    ]

    def context(page: Page[Any]) -> RecordsContext:
        folder = page.templates
        words = environment(folder, pages=known, words=wording, deciders=DECIDERS)
        return RecordsContext(backstage.clock, words, records)

    for page in known:
        app.include_router(page.routes(context(page)))
    plugged = []
    for loaded in PAGES.load_all():
        found = loaded
        if loaded.kind is not None:
            try:
                loaded.kind.require_free((*RESERVED, *(page.path for page in known)))
                app.include_router(loaded.kind.routes(context(loaded.kind)))
                known.append(loaded.kind)
            except Exception as error:  # noqa: BLE001 - a stranger's page may raise anything
                found = replace(loaded, kind=None, error=str(error))
        if found.error:
            log.warning("page_not_usable", page=found.name, error=found.error)
        plugged.append(found)
    return plugged


def openapi(services: Sequence[Service] = ()) -> dict[str, Any]:
    """The API's OpenAPI description, without a running service. `services` are not started."""
    return _unserved(services).openapi()


def plugged_pages() -> list[LoadedPlugin[Page[Any]]]:
    """The pages that packages plug in, opened as a service would, to see whether they can be."""
    plugged: list[LoadedPlugin[Page[Any]]] = _unserved().state.plugged
    return plugged


def _unserved(services: Sequence[Service] = ()) -> FastAPI:
    def no_health() -> Any:
        raise RuntimeError("no service runs: only its routes are described")

    return create_app(Backstage(Database("sqlite://"), no_health, services=services))
