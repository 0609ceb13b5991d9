"""Who did what: to read, to check and to take along; for admins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from cloud.accounts.access import Access
from cloud.accounts.audit import AuditFilter, AuditLog
from cloud.accounts.chain import ChainReport
from cloud.dashboard.live import TEMPLATES
from cloud.web.pages import RecordsContext
from shared.errors import RecordsError, SettingsError
from shared.format import iso
from shared.plugins.pages import Page
from shared.web.spreadsheet import csv_lines

HOME = "/audit"
PAGE = 50
BATCH = 1_000
COLUMNS = ("number", "at", "who", "means", "address", "what", "subject", "before", "after", "hash")
LONGEST_HASH = 64


class AuditQuery(BaseModel):
    """The filters of the page, as they stand in its address."""

    who: str = ""
    what: str = ""
    subject: str = ""
    since: str = ""
    until: str = ""


class AuditPageQuery(AuditQuery):
    """before: the number of the entry above those that are shown"""

    before: str = ""


def audit_page(access: Access) -> Page[RecordsContext]:
    """The log with filters, page by page."""
    log = access.audit

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()

        def facts(asked: dict[str, str]) -> dict[str, Any]:
            before = _number(asked.get("before", ""))
            entries = log.search(_filter(asked), PAGE + 1, before)
            shown, more = entries[:PAGE], len(entries) > PAGE
            filters = {name: asked[name] for name in AuditQuery.model_fields if asked.get(name)}
            older = _address(filters | {"before": str(shown[-1].number)}) if more else ""
            return {
                "entries": shown,
                "filters": {name: asked.get(name, "") for name in AuditQuery.model_fields},
                "older": older,
                "newest": _address(filters) if before else "",
                "export": f"{HOME}/export.csv?{urlencode(filters)}",
                "expect": asked.get("expect", "")[:LONGEST_HASH],
                "check": None,
            }

        @routes.get("")
        def shown(asked: Annotated[AuditPageQuery, Query()]) -> Response:
            return context.render("audit.html", **facts(asked.model_dump()))

        @routes.get("/verify")
        def verified(expect: str = "") -> Response:
            """The page is there before the whole log is read, however long that takes."""

            def check() -> ChainReport | RecordsError:
                try:
                    return log.verify(expect.strip()[:LONGEST_HASH])
                except RecordsError as error:
                    # Too late for another answer.
                    return error

            told = {**facts({"expect": expect}), "check": check}
            return context.stream("audit.html", **told)

        @routes.get("/export.csv")
        def export(asked: Annotated[AuditQuery, Query()]) -> Response:
            return StreamingResponse(
                _rows(log, _filter(asked.model_dump())),
                media_type="text/csv",
                headers={
                    "content-disposition": 'attachment; filename="audit.csv"',
                    "cache-control": "no-store",
                },
            )

        return routes

    return Page("Audit log", HOME, TEMPLATES, routes_with, role="admin", group="House", order=20)


def _filter(asked: dict[str, str]) -> AuditFilter:
    return AuditFilter(
        asked.get("who", "").strip()[:100],
        asked.get("what", "").strip()[:100],
        asked.get("subject", "").strip()[:255],
        _moment(asked, "since"),
        _moment(asked, "until"),
    )


def _moment(asked: dict[str, str], name: str) -> float | None:
    """UTC seconds of what a browser's own field for a date and a time sends."""
    text = asked.get(name, "").strip()
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            f"{name}: {text[:40]!r} is no date", fix="write 2026-01-31T12:00, in UTC"
        ) from error


def _number(text: str) -> int | None:
    if not text:
        return None
    # Eighteen digits: every database's own numbers hold them.
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise SettingsError(f"before: {text[:40]!r} is no entry's number", fix="follow the links")
    return int(text)


def _address(query: dict[str, str]) -> str:
    return f"{HOME}?{urlencode(query)}" if query else HOME


def _rows(log: AuditLog, wanted: AuditFilter) -> Iterator[str]:
    """Newest first, some at a time: a log of years is never in memory."""
    yield csv_lines([COLUMNS])
    before: int | None = None
    while True:
        entries = log.search(wanted, BATCH, before)
        for entry in entries:
            facts: dict[str, Any] = entry.model_dump()
            facts["at"] = iso(entry.at)
            for name in ("before", "after"):
                facts[name] = json.dumps(facts[name]) if facts[name] else ""
            yield csv_lines([[str(facts[name]) for name in COLUMNS]])
        if len(entries) < BATCH:
            return
        before = entries[-1].number
