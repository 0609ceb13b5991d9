"""Drift, device by device: what was measured beside how it was at the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud.accounts.audit import AuditLog
from cloud.dashboard.live import TEMPLATES
from cloud.drift.store import DriftStore, StreamKey, StreamView
from cloud.drift.stream import LEAST_PARTS, Stream
from cloud.web.pages import RecordsContext
from shared.errors import SettingsError
from shared.plugins.pages import Page
from shared.sketch import QUANTITIES, SCALES
from shared.web.access import Caller, caller_of
from shared.web.forms import form_fields
from shared.web.roles import OWN_ENTRY, needs

STATE_SIGN = {"learning": "…", "steady": "✓", "drifted": "!"}
STATE_WORDS = {
    "learning": "learning what is usual",
    "steady": "as at the beginning",
    "drifted": "not as at the beginning",
}
Calling = Annotated[Caller, Depends(caller_of)]


class DriftQuery(BaseModel):
    """Of which site and line, and what came of a form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str | None = Field(default=None, max_length=63)
    line: str | None = Field(default=None, max_length=63)
    told: str = Field(default="", max_length=300)


def drift_facts(
    store: DriftStore, now: float, site: str | None = None, line: str | None = None
) -> dict[str, Any]:
    """What `fragments/drift.html` shows. Raises RecordsError."""
    views: Sequence[StreamView] = store.streams(now, site or None, line or None)
    return {
        "streams": views,
        "wanted_parts": store.limits.reference_parts,
        "false_alarm": store.limits.false_alarm,
        "state_sign": STATE_SIGN,
        "state_words": STATE_WORDS,
        "least_parts": LEAST_PARTS,
        "quantities": QUANTITIES,
        "scales": SCALES,
    }


def drift_page(store: DriftStore, audit: AuditLog) -> Page[RecordsContext]:
    """What boxes measured, and with what it is compared."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        @routes.get("")
        def drift(asked: Annotated[DriftQuery, Query()]) -> Response:
            facts = drift_facts(store, context.clock.utc(), asked.site, asked.line)
            return context.render("drift.html", asked=asked, **facts)

        @routes.post("", dependencies=[needs("engineer", "admin", OWN_ENTRY)])
        async def choose(request: Request, caller: Calling) -> Response:
            form = await form_fields(request)
            now = context.clock.utc()
            return await run_in_threadpool(_chosen, store, audit, form, caller, now)

        return routes

    return Page("Drift", "/drift", TEMPLATES, routes_with, changes=None, group="Quality", order=60)


def _chosen(
    store: DriftStore, audit: AuditLog, form: dict[str, str], caller: Caller, now: float
) -> Response:
    """Compare with other parts from now on, as the form says."""
    key = StreamKey(*(form.get(name, "") for name in StreamKey._fields))
    who = caller.signs()
    try:
        begin, end = _span(form, now)
    except SettingsError as error:
        return _back(key, str(error))

    def written(connection: Connection, before: Stream) -> None:
        facts = {"from": before.reference_from, "parts": before.reference_parts}
        after = {"from": begin, "until": end}
        audit.append(connection, caller.did("drift reference", "/".join(key), facts, after))

    chosen = store.choose(key, begin, end, who, written)
    if chosen is None:
        return _back(key, "There is no such stream.")
    if end is None:
        return _back(key, "The next parts are what later ones are compared with.")
    if not chosen.full:
        return _back(key, f"{chosen.reference_parts} parts came then: the next ones are added.")
    return _back(key, f"{chosen.reference_parts} parts are what others are compared with.")


def _span(form: dict[str, str], now: float) -> tuple[float, float | None]:
    """UTC seconds; without an end, the parts that come next. Raises SettingsError."""
    if form.get("act") == "next":
        return now, None
    try:
        begin, end = (
            datetime.fromisoformat(form.get(name, "")).replace(tzinfo=UTC).timestamp()
            for name in ("begin", "end")
        )
    except ValueError as error:
        raise SettingsError("that is no time", fix="choose both times, UTC") from error
    if not begin < end <= now + 60:
        raise SettingsError(
            "the hours must be in order, and past", fix="choose an earlier time first"
        )
    return begin, end


def _back(key: StreamKey, told: str) -> Response:
    said = {"site": key.site, "line": key.line, "told": told[:300]}
    return RedirectResponse(f"/drift?{urlencode(said)}", status_code=303)
