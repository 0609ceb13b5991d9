"""Alerts under /api: read by everybody, acknowledged and shelved by inspectors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from cloud.alerts.board import AlertBoard, AlertCounts, AlertEventView, AlertFilter, AlertView
from cloud.alerts.conditions import AlertName
from cloud.alerts.desk import AlertDesk
from cloud.alerts.rules import Rule
from cloud.alerts.store import AlertStore
from cloud.records.queries import NO_NUL
from cloud.web.problems import NotFound, Problem
from shared.web.access import Caller, caller_of
from shared.web.roles import OWN_ENTRY, needs

Number = Annotated[str, Path(max_length=32, pattern=NO_NUL)]
Place = Annotated[str, Path(max_length=63, pattern=NO_NUL)]
Calling = Annotated[Caller, Depends(caller_of)]
LONGEST_SHELF_MIN = 7 * 24 * 60


class AlertQuery(AlertFilter):
    """What can be asked of the list of alerts."""

    limit: int = Field(default=50, ge=1, le=500)


class OpenAlerts(BaseModel):
    """What is open, and how much of it nobody has acknowledged."""

    counts: AlertCounts
    alerts: list[AlertView]


class AlertDetail(BaseModel):
    """An alert and what happened to it."""

    alert: AlertView
    events: list[AlertEventView]


class Shelving(BaseModel):
    """For how long nobody is told of an alert, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: float = Field(gt=0, le=LONGEST_SHELF_MIN)
    reason: str = Field(min_length=1, max_length=500, pattern=NO_NUL)


class GivenRule(BaseModel):
    """When a condition is told at a line."""

    # Strict: `true` is no limit of 1.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    enabled: bool = True
    limit: float | None = Field(
        default=None, ge=0, le=1e9, description="of its measure; null: where the condition begins"
    )
    delay_s: float = Field(ge=0, le=86_400, description="for which it must hold first")
    clear_s: float = Field(ge=0, le=86_400, description="for which it must be gone to be over")
    again_s: float = Field(ge=60, le=30 * 86_400, description="after which it is told again")


class RuleView(GivenRule):
    """A rule, and what it is about."""

    name: AlertName
    site: str
    line: str


def alert_routes(board: AlertBoard, desk: AlertDesk, store: AlertStore) -> APIRouter:
    """Everything under /api/alerts."""
    routes = APIRouter(
        prefix="/api/alerts",
        responses={503: {"model": Problem}},
        dependencies=[needs("viewer")],
    )
    acts = [needs("inspector", "label", OWN_ENTRY)]
    gone: dict[int | str, dict[str, Any]] = {404: {"model": Problem}, 409: {"model": Problem}}

    @routes.get("")
    def alerts(asked: Annotated[AlertQuery, Query()]) -> list[AlertView]:
        """All that there were, the last that was raised first."""
        return list(board.history(asked, asked.limit))

    @routes.get("/open")
    def open_alerts() -> OpenAlerts:
        """Those that are not over: unacknowledged first."""
        return OpenAlerts(counts=board.counts(), alerts=list(board.open()))

    @routes.get("/rules")
    def usual_rules() -> list[RuleView]:
        """When each condition is told where a line has no rule of its own."""
        return [_view(rule) for rule in store.rules().all_of("", "")]

    @routes.get("/rules/{site}/{line}")
    def rules(site: Place, line: Place) -> list[RuleView]:
        """When each condition is told at a line."""
        return [_view(rule) for rule in store.rules().all_of(site, line)]

    @routes.put("/rules/{site}/{line}/{name}", dependencies=[needs("engineer", "admin", OWN_ENTRY)])
    def set_rule(
        site: Place, line: Place, name: AlertName, given: GivenRule, caller: Calling
    ) -> RuleView:
        """Set when a condition is told at a line."""
        rule = Rule(name, site, line, **given.model_dump())
        desk.set_rule(rule, caller)
        return _view(rule)

    @routes.get("/{number}", responses=gone)
    def alert(number: Number) -> AlertDetail:
        """One alert and what happened to it."""
        return _detail(board, number)

    @routes.post("/{number}/acknowledge", responses=gone, dependencies=acts)
    def acknowledge(number: Number, caller: Calling) -> AlertDetail:
        """Somebody has seen it."""
        _detail(board, number)
        desk.acknowledge(number, caller)
        return _detail(board, number)

    @routes.post("/{number}/shelve", responses=gone, dependencies=acts)
    def shelve(number: Number, wanted: Shelving, caller: Calling) -> AlertDetail:
        """Nobody is told of it for a time."""
        _detail(board, number)
        desk.shelve(number, caller, wanted.minutes, wanted.reason)
        return _detail(board, number)

    @routes.post("/{number}/unshelve", responses=gone, dependencies=acts)
    def unshelve(number: Number, caller: Calling) -> AlertDetail:
        """It is told again."""
        _detail(board, number)
        desk.unshelve(number, caller)
        return _detail(board, number)

    return routes


def _detail(board: AlertBoard, number: str) -> AlertDetail:
    """Raises NotFound."""
    found = board.alert(number)
    if found is None:
        raise NotFound(f"there is no alert {number}", fix="/api/v1/alerts lists those there are")
    return AlertDetail(alert=found, events=list(board.events(number)))


def _view(rule: Rule) -> RuleView:
    return RuleView(name=rule.name, site=rule.site, line=rule.line, **rule.facts())
