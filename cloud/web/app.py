"""The HTTP side as one ASGI app: the API and the dashboard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from cloud.accounts.access import Access, open_access
from cloud.accounts.first_account import PATH as FIRST_ACCOUNT
from cloud.accounts.first_account import FirstAccount
from cloud.health.monitor import HealthCheck
from cloud.health.running_promise import Certificates, PromiseMonitor
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.web import wording
from cloud.web.accounts import account_routes, token_routes
from cloud.web.admission import SIGN_IN, AccessMiddleware
from cloud.web.labels import label_routes
from cloud.web.live import TEMPLATES, LiveFragments
from cloud.web.pages import STATIC, RecordsContext, dashboard
from cloud.web.problems import handle_problems, problem
from cloud.web.routes import api_routes, promise_routes
from cloud.web.sign_in import SIGN_OUT, SignInPages
from shared.clock import Clock, SystemClock
from shared.contracts import DECIDERS
from shared.errors import AccessRefused
from shared.log import get_logger
from shared.plugins.group import LoadedPlugin
from shared.plugins.pages import PAGES, Page, PageContext
from shared.plugins.services import Service
from shared.web.access import current_caller
from shared.web.html import environment
from shared.web.roles import needs, stated

log = get_logger("web")

RESERVED = ("/api", "/events", "/inspections", SIGN_IN, SIGN_OUT, FIRST_ACCOUNT, "/static")


@dataclass(frozen=True, slots=True)
class Backstage:
    """What the app reads from.

    token     of the configuration, for callers without an account; None: there is none
    stopping  set when the service ends, so that live pages let go
    services  what is plugged in, with routes and pages of its own
    labelled  called when an inspector has labelled a part
    serves    the bundles that are served now, with what they promise
    access    who may do what; None: of this database and token, for callers on this machine
    first     the link to the first account; None: offered nowhere
    """

    database: Database
    health: HealthCheck
    token: str | None = None
    clock: Clock = field(default_factory=SystemClock)
    stopping: threading.Event = field(default_factory=threading.Event)
    services: Sequence[Service] = ()
    labelled: Callable[[], None] = lambda: None
    serves: Certificates = dict
    access: Access | None = None
    first: FirstAccount | None = None


def create_app(backstage: Backstage) -> FastAPI:
    """The app, ready to be served."""
    database, clock = backstage.database, backstage.clock
    access = backstage.access or open_access(database, clock, token=backstage.token)
    first = backstage.first or FirstAccount(database, clock, Path("first-account"))
    records = Records(backstage.database)
    # FastAPI's own documentation pages load scripts from a CDN.
    app = FastAPI(
        title="splitsight",
        summary="Inspections, devices and defect maps",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    handle_problems(app)
    promises = PromiseMonitor(database, backstage.serves)
    app.include_router(api_routes(records, database, backstage.health, clock))
    app.include_router(promise_routes(promises))
    app.include_router(label_routes(records, database, clock, backstage.labelled, access.audit))
    app.include_router(account_routes(access))
    app.include_router(token_routes(access))
    for service in backstage.services:
        for router in service.routers:
            app.include_router(router, dependencies=_unless_stated(router))

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[needs("viewer")])
    def described() -> JSONResponse:
        return JSONResponse(app.openapi())

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    live = LiveFragments(records, database, backstage.health, promises, clock)
    own = PageContext(clock, environment(TEMPLATES, pages=[], caller=current_caller))
    app.include_router(SignInPages(own, access, first).routes())
    app.state.plugged = add_pages(app, dashboard(live, backstage.stopping), records, backstage)

    @app.exception_handler(AccessRefused)
    def refused(request: Request, error: AccessRefused) -> Response:
        if "text/html" in request.headers.get("accept", "") and not _is_api(request):
            return own.render("refused.html", 403, error=error.message, fix=error.fix)
        return problem(403, error.message, error.fix)

    app.add_middleware(AccessMiddleware, access=access)
    return app


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _unless_stated(router: APIRouter) -> list[Any]:
    """What a plugged-in router needs whose routes don't all say so: nobody but an admin may."""
    silent = [path for _, path, wanted in stated(router.routes) if not wanted]
    if not silent:
        return []
    log.warning("route_states_no_role", paths=silent[:10], taken_for="admin")
    return [needs("admin", "admin")]


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
        words = environment(
            folder, pages=known, words=wording, deciders=DECIDERS, caller=current_caller
        )
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
