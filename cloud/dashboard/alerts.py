"""The page of alerts: what is open, what to do about it, what was, and the rules of each line."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from cloud.alerts.board import AlertBoard, AlertFilter, AlertView
from cloud.alerts.conditions import KINDS, NAMES, OF_NO_LINE
from cloud.alerts.desk import AlertDesk
from cloud.alerts.rules import Rule
from cloud.alerts.store import AlertStore
from cloud.dashboard.live import TEMPLATES
from cloud.web.alerts import LONGEST_SHELF_MIN, RuleView
from cloud.web.pages import RecordsContext
from shared.errors import AlertRefused
from shared.plugins.pages import Page
from shared.web.access import Caller, caller_of
from shared.web.forms import form_fields
from shared.web.roles import OWN_ENTRY, needs

PAGE = 50
SHELVES = ((30, "30 minutes"), (120, "2 hours"), (480, "8 hours"), (1440, "a day"))
STATE_WORDS = {
    "pending": "not told yet",
    "unacknowledged": "not acknowledged",
    "returned": "gone, not acknowledged",
    "acknowledged": "acknowledged",
    "shelved": "shelved",
    "normal": "over",
}
EVENT_WORDS = {
    "raised": "It was raised",
    "again": "It was told again",
    "back": "It came back",
    "returned": "It was gone",
    "acknowledged": "acknowledged it",
    "shelved": "shelved it",
    "unshelved": "unshelved it",
    "ended": "It was over",
}


class AlertsQuery(AlertFilter):
    """What the page can be asked."""

    told: str = Field(default="", max_length=300, description="what came of a form")


class FormRule(RuleView):
    """A rule as a form says it: its numbers are texts."""

    model_config = ConfigDict(strict=False)


class RulesQuery(BaseModel):
    """Whose rules are shown, and what came of a form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str = Field(default="", max_length=63)
    line: str = Field(default="", max_length=63)
    told: str = Field(default="", max_length=300)


Calling = Annotated[Caller, Depends(caller_of)]


def alerts_page(board: AlertBoard, desk: AlertDesk, store: AlertStore) -> Page[RecordsContext]:
    """Alerts, and their rules."""

    def routes_with(context: RecordsContext) -> APIRouter:
        routes = APIRouter()
        page = context.render
        words: dict[str, Any] = {
            "state_words": STATE_WORDS,
            "event_words": EVENT_WORDS,
            "shelves": SHELVES,
        }
        acts = [needs("inspector", "label", OWN_ENTRY)]

        @routes.get("")
        def alerts(asked: Annotated[AlertsQuery, Query()]) -> Response:
            history = list(board.history(asked, PAGE + 1))
            older = _older(asked, history)
            return page(
                "alerts.html",
                open=board.open(),
                history=history[:PAGE],
                asked=asked,
                older=older,
                names=[(name, KINDS[name].title) for name in NAMES],
                lines=_lines(context),
                **words,
            )

        @routes.get("/strip")
        def strip() -> Response:
            counts = board.counts()
            return JSONResponse(counts.model_dump(), headers={"cache-control": "no-store"})

        @routes.get("/open")
        def open_part() -> Response:
            return page("fragments/alerts.html", open=board.open(), **words)

        @routes.post("", dependencies=acts)
        async def act(request: Request, caller: Calling) -> Response:
            form = await form_fields(request)
            return await run_in_threadpool(_acted, desk, form, caller)

        _add_rules(routes, context, desk, store)

        @routes.get("/{number}")
        def alert(number: str) -> Response:
            found = board.alert(number[:32])
            if found is None:
                return page("alert.html", 404, alert=None, events=[], **words)
            return page("alert.html", alert=found, events=board.events(found.id), **words)

        return routes

    return Page("Alerts", "/alerts", TEMPLATES, routes_with, changes=None, group="Now", order=30)


def _add_rules(
    routes: APIRouter, context: RecordsContext, desk: AlertDesk, store: AlertStore
) -> None:
    @routes.get("/rules")
    def rules_page(asked: Annotated[RulesQuery, Query()]) -> Response:
        known = [("", ""), *_lines(context)]
        here = (asked.site, asked.line)
        site, line = here if here in known else known[0]
        rules = store.rules().all_of(site, line)
        rows = [
            (rule, KINDS[rule.name]) for rule in rules if not line or rule.name not in OF_NO_LINE
        ]
        return context.render(
            "alert_rules.html", rows=rows, lines=known, site=site, line=line, told=asked.told
        )

    @routes.post("/rules", dependencies=[needs("engineer", "admin", OWN_ENTRY)])
    async def set_rule(request: Request, caller: Calling) -> Response:
        form = await form_fields(request)
        return await run_in_threadpool(_ruled, desk, form, caller)


def _lines(context: RecordsContext) -> list[tuple[str, str]]:
    return sorted({(one.site, one.line) for one in context.records.devices()})


def _older(asked: AlertFilter, found: list[AlertView]) -> str:
    """The address of the page that follows; empty where there is none."""
    if len(found) <= PAGE:
        return ""
    said = asked.model_dump(exclude_none=True) | {"before": found[PAGE - 1].raised_at}
    return f"/alerts?{urlencode(said)}"


def _acted(desk: AlertDesk, form: dict[str, str], caller: Caller) -> Response:
    """Do what a button says, and go back; what can't be done is said on the page."""
    number, said = form.get("alert", ""), "Done."
    try:
        match form.get("act"):
            case "acknowledge":
                desk.acknowledge(number, caller)
                said = "Acknowledged."
            case "shelve":
                desk.shelve(number, caller, _minutes(form), form.get("reason", ""))
                said = "Shelved: nobody is told of it until then."
            case "unshelve":
                desk.unshelve(number, caller)
                said = "It is told again."
            case other:
                said = f"{other!r} can't be done: use the buttons of the page"
    except AlertRefused as error:
        said = str(error)
    return RedirectResponse(f"/alerts?{urlencode({'told': said[:300]})}", status_code=303)


def _minutes(form: dict[str, str]) -> float:
    """Raises AlertRefused."""
    try:
        minutes = float(form.get("minutes", ""))
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= LONGEST_SHELF_MIN:
        raise AlertRefused("that is no time to shelve for", fix="choose one of those shown")
    return minutes


def _ruled(desk: AlertDesk, form: dict[str, str], caller: Caller) -> Response:
    """Keep a rule as the form says it."""
    # What is empty is not in a form.
    given = {"site": "", "line": "", "limit": None, **form, "enabled": "enabled" in form}
    try:
        rule = FormRule.model_validate(given)
    except ValidationError as error:
        wrong = error.errors()[0]
        said = f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
    else:
        desk.set_rule(Rule(**rule.model_dump()), caller)
        said = f"{KINDS[rule.name].title}: kept."
    back = {"site": form.get("site", ""), "line": form.get("line", ""), "told": said[:300]}
    return RedirectResponse(f"/alerts/rules?{urlencode(back)}", status_code=303)
