"""Candidates of rounds as pages: the report in view, and a person's word on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fleet.releases.drafts import Drafts
from fleet.releases.evidence import LONGEST_REASON, lacking, require_short
from fleet.rounds.candidates.approval import approve
from fleet.rounds.candidates.candidate_store import CandidateStore
from shared.errors import BundleError, FederationError, SplitsightError
from shared.plugins.pages import PageContext
from shared.web.access import Visit, visit_of
from shared.web.forms import form_fields
from shared.web.roles import OWN_ENTRY, needs

Name = Annotated[str, Path(max_length=128)]
Missing = Callable[[SplitsightError], Response]


class CandidatePages:
    """missing   the page of all models with what is wrong on top"""

    def __init__(
        self, store: CandidateStore, drafts: Drafts, context: PageContext, missing: Missing
    ) -> None:
        self._store = store
        self._drafts = drafts
        self._render = context.render
        self._missing = missing

    def add_to(self, routes: APIRouter) -> None:
        routes.get("/candidates/{name}")(self.one)
        decides = [needs("engineer", "release", OWN_ENTRY)]
        routes.post("/candidates/{name}", dependencies=decides)(self.decide)

    def one(self, name: Name) -> Response:
        return self._one(name)

    async def decide(self, request: Request, name: Name) -> Response:
        fields = await form_fields(request)
        try:
            await run_in_threadpool(self._decide, name, fields, visit_of(request))
        except SplitsightError as error:
            told = error
            return await run_in_threadpool(lambda: self._one(name, told))
        return RedirectResponse(f"/models/candidates/{name}", status_code=303)

    def _decide(self, name: str, fields: dict[str, str], visit: Visit) -> None:
        do, why = fields.get("do", ""), fields.get("why", "").strip()
        if do not in {"approve", "reject"}:
            raise FederationError("the form says nothing to do", fix="use the page's buttons")
        require_short("the reason", why, LONGEST_REASON)
        by = visit.caller.signs(fields.get("by", "")[:63], "by")
        self._store.waiting(name, do)
        facts = {"why": why} if why else None
        visit.asked = visit.caller.did(f"candidate {do}", name, after=facts, said=by)
        visit.trail.record(visit.asked)
        if do == "approve":
            self._drafts.store.require()
            approve(self._store, name, by, self._drafts, why)
        else:
            self._store.decide(name, "rejected", by, why)

    def _one(self, name: str, error: SplitsightError | None = None) -> Response:
        try:
            facts = self._facts(name)
        except SplitsightError as missing:
            return self._missing(missing)
        return self._render("candidate.html", 409 if error else 200, error=error, **facts)

    def _facts(self, name: str) -> dict[str, Any]:
        record, findings = self._store.get(name), self._store.findings(name)
        lacks: list[str] = []
        problem = ""
        if record.bundle:
            try:
                lacks = lacking(self._store.bundle(name), certified=record.certified)
            except BundleError as error:
                problem = error.message
        return {
            "record": record,
            "f": findings,
            "lacks": lacks,
            "problem": problem,
            "open": record.status == "candidate" and not problem,
            "rejectable": record.status in {"candidate", "refused"},
        }
