"""The pages: live view, one inspection, sign-in; and the stream that keeps the first one live."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.records.queries import Records
from cloud.web.access import SIGN_IN, Access
from cloud.web.live import REFRESH_S, TEMPLATES, LiveFragments
from cloud.web.routes import Name, Sequence
from shared.contracts import InspectionKey
from shared.plugins.pages import Page, PageContext
from shared.web.forms import form_fields

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class RecordsContext(PageContext):
    """What a page in the cloud is lent beside that: what is recorded, to read from any thread."""

    records: Records


def dashboard(
    live: LiveFragments, access: Access, stopping: threading.Event
) -> Page[RecordsContext]:
    """Everything that people look at whatever is plugged in."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()
        page, records = context.render, context.records

        @routes.get("/")
        def overview() -> Response:
            return page("overview.html", fragments=live.fragments())

        @routes.get("/events")
        def events() -> Response:
            return EventSourceResponse(changes(live, stopping))

        @routes.get("/inspections/{device}/{boot}/{sequence}")
        def inspection(device: Name, boot: Name, sequence: Sequence) -> Response:
            found = records.inspection(InspectionKey(device, boot, sequence))
            if found is None:
                return page("missing.html", 404, device=device, sequence=sequence)
            return page("inspection.html", view=found)

        @routes.get(SIGN_IN)
        def sign_in_form(to: str = "/") -> Response:
            return page("sign_in.html", to=local(to), wrong=False)

        @routes.post(SIGN_IN)
        async def sign_in(request: Request, to: str = "/") -> Response:
            token = (await form_fields(request)).get("token", "").strip()
            if not access.knows(token):
                return page("sign_in.html", 401, to=local(to), wrong=True)
            response = RedirectResponse(local(to), status_code=303)
            access.sign_in(response, secure=request.url.scheme == "https")
            return response

        return routes

    return Page("Live view", "/", TEMPLATES, routes_with)


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
