"""The HTTP side as one ASGI app: the API and the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloud.accounts.access import open_access
from cloud.accounts.first_account import PATH as FIRST_ACCOUNT
from cloud.accounts.first_account import FirstAccount
from cloud.accounts.password_links import PATH as PASSWORD
from cloud.alerts.assembly import AlertOffice
from cloud.alerts.board import AlertBoard
from cloud.costs.meter import CostMeter
from cloud.dashboard import wording
from cloud.dashboard.labels import label_form_routes
from cloud.dashboard.pages import STATIC, Desks, dashboard_pages
from cloud.disputes.dispute_routes import dispute_routes
from cloud.drift.store import DriftStore
from cloud.drift.stream import ReferenceLimits
from cloud.health.running_promise import PromiseMonitor
from cloud.labels.agreement import agreement_of
from cloud.labels.disputes import DisputeDesk
from cloud.labels.history import LabelHistory
from cloud.pictures.store import PictureRequests
from cloud.records.database import Database
from cloud.records.queries import Records
from cloud.records.rollups import Rollups
from cloud.web.accounts import account_routes, token_routes
from cloud.web.admission import SIGN_IN, AccessMiddleware
from cloud.web.alerts import alert_routes
from cloud.web.api_schema import DescribedApi
from cloud.web.api_version import VersionedApi
from cloud.web.assets import Assets
from cloud.web.context import Backstage
from cloud.web.costs import cost_routes
from cloud.web.http_cache import CachedAnswers
from cloud.web.http_request import BoundedBodies, HeadApp
from cloud.web.labels import LabelDesk, label_routes
from cloud.web.oidc import sign_in_routes
from cloud.web.pages import RecordsContext
from cloud.web.parts import parts_routes
from cloud.web.pictures import PictureDesk, picture_routes
from cloud.web.problems import NotFound, ProblemResponse, handle_problems
from cloud.web.route_table import known_query
from cloud.web.routes import api_routes, promise_routes
from cloud.web.sign_in import SIGN_OUT
from shared.contracts import DECIDERS
from shared.errors import AccessRefused, RecordsError, SettingsError, SplitsightError
from shared.log import get_logger
from shared.plugins.group import LoadedPlugin
from shared.plugins.pages import PAGES, Page, PageContext
from shared.plugins.services import Service
from shared.web.access import current_caller
from shared.web.html import environment
from shared.web.roles import needs, stated

log = get_logger("web")

TEMPLATES = Path(__file__).parent / "web" / "templates"

RESERVED = (
    "/api",
    "/events",
    "/inspections",
    SIGN_IN,
    SIGN_OUT,
    FIRST_ACCOUNT,
    PASSWORD,
    "/static",
)


def create_app(backstage: Backstage) -> FastAPI:
    """The app, ready to be served."""
    database, clock = backstage.database, backstage.clock
    access = backstage.access or open_access(database, clock, token=backstage.token)
    first = backstage.first or FirstAccount(database, clock, Path("first-account"))
    records = Records(database, clock)
    # FastAPI's own documentation pages load scripts from a CDN.
    app = DescribedApi(
        title="splitsight",
        summary="Inspections, devices and defect maps",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # Ours knows of versions, and of paths that proxies serve us below.
        redirect_slashes=False,
        dependencies=[Depends(known_query)],
    )
    handle_problems(app)
    promises = PromiseMonitor(database, backstage.serves)
    app.include_router(api_routes(records, database, backstage.health, clock))
    app.include_router(promise_routes(promises))
    app.include_router(parts_routes(records))
    history = LabelHistory(database, clock, access.audit)
    desk = LabelDesk(records, history, backstage.labelled)
    app.include_router(label_routes(records, desk, lambda: agreement_of(database)))
    app.include_router(dispute_routes(DisputeDesk(database, access.audit)))
    app.include_router(label_form_routes(desk), prefix="/review", include_in_schema=False)
    pictures = PictureDesk(
        records,
        PictureRequests(database),
        backstage.pictures,
        backstage.picture_rules,
        clock,
    )
    app.include_router(picture_routes(pictures, access.audit))
    app.include_router(account_routes(access))
    app.include_router(token_routes(access))
    alerts = backstage.alerts or AlertOffice(database, clock, access.audit)
    app.include_router(alert_routes(alerts.board, alerts.desk, alerts.store))
    drift = backstage.drift or DriftStore(database, ReferenceLimits())
    for service in backstage.services:
        for router in service.routers:
            app.include_router(router, dependencies=_unless_stated(router))

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[needs("viewer")])
    def described() -> Response:
        return Response(description(), media_type="application/json")

    @cache
    def description() -> bytes:
        """Written once: it is as long as the API, and never changes while it is served."""
        return bytes(JSONResponse(app.openapi()).body)

    assets = Assets(STATIC, "/static")
    app.mount("/static", assets, name="static")
    own = PageContext(
        clock, environment(TEMPLATES, assets=assets.addresses, pages=[], caller=current_caller)
    )
    app.include_router(sign_in_routes(own, access, first, backstage.provider))
    costs = CostMeter(database, Rollups(database), backstage.prices)
    app.include_router(cost_routes(costs, clock))
    desks = Desks(records, access, promises, desk, pictures, alerts, drift, costs)
    own_pages = dashboard_pages(backstage, desks)
    app.state.plugged = add_pages(
        app, own_pages, records, backstage, alerts=alerts.board, assets=assets
    )

    as_problem = app.exception_handlers[HTTPException]

    @app.exception_handler(HTTPException)
    def unknown(request: Request, error: HTTPException) -> Any:
        """A person who has mistyped an address gets a page, a program what it understands."""
        if error.status_code == 404 and _wants_page(request):
            return own.render("unknown.html", 404, path=request.url.path)
        return as_problem(request, error)

    for kind in (
        *(AccessRefused, SettingsError, SplitsightError, RecordsError),
        *(NotFound, RequestValidationError),
    ):
        app.add_exception_handler(kind, _for_people(own, app.exception_handlers[kind]))

    # The last one is asked first.
    app.add_middleware(CachedAnswers)
    app.add_middleware(BoundedBodies)
    app.add_middleware(AccessMiddleware, access=access)
    app.add_middleware(HeadApp)
    app.add_middleware(VersionedApi)
    return app


def _for_people(own: PageContext, as_problem: Any) -> Any:
    """The same on a page for who looks with a browser: a mistyped filter is no JSON to them."""

    def answered(request: Request, error: Exception) -> Response:
        answer: Response = as_problem(request, error)
        if not isinstance(answer, ProblemResponse) or not _wants_page(request):
            return answer
        template = "refused.html" if isinstance(error, AccessRefused) else "problem.html"
        told = answer.told
        return own.render(template, told.status, error=told.error, fix=told.fix)

    return answered


def _wants_page(request: Request) -> bool:
    reads_html = "text/html" in request.headers.get("accept", "")
    return reads_html and "hx-request" not in request.headers and not _is_api(request)


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
    app: FastAPI,
    own: Sequence[Page[RecordsContext]],
    records: Records,
    backstage: Backstage,
    *,
    alerts: AlertBoard,
    assets: Assets,
) -> list[LoadedPlugin[Page[Any]]]:
    """Serve the cloud's own pages, those of services and those that packages plug in.

    Returns what is plugged in; what can't be used is not served, and the others are.
    """
    known: list[Page[Any]] = [
        *own,
        *(page for service in backstage.services for page in service.pages),
    ]

    def context(page: Page[Any]) -> RecordsContext:
        folder = page.templates
        words = environment(
            folder,
            assets=assets.addresses,
            pages=known,
            here=page.path,
            words=wording,
            deciders=DECIDERS,
            caller=current_caller,
            alarms=alerts.counts,
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
