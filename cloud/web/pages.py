"""The pages: live view, one inspection; and the stream that keeps the first one live."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from cloud.records.queries import Records
from cloud.web.live import REFRESH_S, TEMPLATES, LiveFragments
from cloud.web.routes import Name, Sequence
from shared.contracts import InspectionKey
from shared.plugins.pages import Page, PageContext
from shared.web.access import visit_of

STATIC = Path(__file__).parent / "static"
# How many times a stream looks at what is new before it asks whether its caller may still stay.
LOOKS = 10


@dataclass(frozen=True, slots=True)
class RecordsContext(PageContext):
    """What a page in the cloud is lent beside that: what is recorded, to read from any thread."""

    records: Records


def dashboard(live: LiveFragments, stopping: threading.Event) -> Page[RecordsContext]:
    """Everything that people look at whatever is plugged in."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()
        page, records = context.render, context.records

        @routes.get("/")
        def overview() -> Response:
            return page("overview.html", fragments=live.fragments())

        @routes.get("/events")
        def events(request: Request) -> Response:
            return EventSourceResponse(changes(live, stopping, visit_of(request).stays))

        @routes.get("/inspections/{device}/{boot}/{sequence}")
        def inspection(device: Name, boot: Name, sequence: Sequence) -> Response:
            found = records.inspection(InspectionKey(device, boot, sequence))
            if found is None:
                return page("missing.html", 404, device=device, sequence=sequence)
            return page("inspection.html", view=found)

        return routes

    return Page("Live view", "/", TEMPLATES, routes_with)


async def changes(
    live: LiveFragments,
    stopping: threading.Event,
    stays: Callable[[], bool] = lambda: True,
    *,
    pause_s: float = REFRESH_S,
) -> AsyncIterator[ServerSentEvent]:
    """Each fragment once, then whenever it has changed, until the service stops, or the caller's
    session has ended."""
    sent: dict[str, str] = {}
    looks = 0
    while not stopping.is_set():
        looks += 1
        if looks % LOOKS == 0 and not await run_in_threadpool(stays):
            return
        for name, html in (await run_in_threadpool(live.fragments)).items():
            if sent.get(name) != html:
                sent[name] = html
                yield ServerSentEvent(html, event=name)
        await asyncio.sleep(pause_s)
