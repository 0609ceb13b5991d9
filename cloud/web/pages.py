"""The pages: live view, one inspection, sign-in; and the stream that keeps the first one live."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from fastapi import APIRouter
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud.records.queries import Records
from cloud.web.access import SIGN_IN, Access, token_in_form
from cloud.web.live import REFRESH_S, LiveFragments, environment
from shared.contracts import InspectionKey
from shared.plugins.services import ServicePage

STATIC = Path(__file__).parent / "static"


def dashboard_routes(
    records: Records,
    live: LiveFragments,
    access: Access,
    stopping: threading.Event,
    pages: Sequence[ServicePage] = (),
) -> APIRouter:
    """Everything that people look at.

    pages   of services that are plugged in, for the navigation
    """
    routes = APIRouter(include_in_schema=False)
    templates = environment()
    templates.globals["access_required"] = access.required
    templates.globals["pages"] = pages

    def page(name: str, status: int = 200, **facts: object) -> HTMLResponse:
        html = templates.get_template(name).render(facts)
        return HTMLResponse(html, status_code=status, headers={"cache-control": "no-store"})

    @routes.get("/")
    def overview() -> Response:
        return page("overview.html", fragments=live.fragments())

    @routes.get("/events")
    def events() -> Response:
        return EventSourceResponse(changes(live, stopping))

    @routes.get("/inspections/{device}/{boot}/{sequence}")
    def inspection(device: str, boot: str, sequence: int) -> Response:
        found = records.inspection(InspectionKey(device, boot, sequence))
        if found is None:
            return page("missing.html", 404, device=device, sequence=sequence)
        return page("inspection.html", view=found)

    @routes.get(SIGN_IN)
    def sign_in_form(to: str = "/") -> Response:
        return page("sign_in.html", to=local(to), wrong=False)

    @routes.post(SIGN_IN)
    async def sign_in(request: Request, to: str = "/") -> Response:
        if not access.knows(await token_in_form(request)):
            return page("sign_in.html", 401, to=local(to), wrong=True)
        response = RedirectResponse(local(to), status_code=303)
        access.sign_in(response, secure=request.url.scheme == "https")
        return response

    return routes


async def changes(
    live: LiveFragments, stopping: threading.Event, *, pause_s: float = REFRESH_S
) -> AsyncIterator[ServerSentEvent]:
    """Each fragment once, then whenever it has changed, until the service stops."""
    sent: dict[str, str] = {}
    while not stopping.is_set():
        for name, html in (await run_in_threadpool(live.fragments)).items():
            if sent.get(name) != html:
                sent[name] = html
                yield ServerSentEvent(html, event=name)
        await asyncio.sleep(pause_s)


def local(path: str) -> str:
    """The path, or `/` where it would lead to another site."""
    leads_away = not path.startswith("/") or path.startswith(("//", "/\\"))
    return "/" if leads_away else path
