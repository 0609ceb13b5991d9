"""What people read of alerts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Select, case, select

from cloud.alerts.conditions import KINDS, AlertName
from cloud.alerts.lifecycle import Alert, AlertState, EventName
from cloud.alerts.store import alert_of, count_open
from cloud.alerts.tables import ALERT_EVENTS, ALERTS
from cloud.records.database import Database
from shared.clock import Clock
from shared.errors import RecordsError

FRESH_S = 1.0
_ORDER: dict[AlertState, int] = {
    "unacknowledged": 0,
    "returned": 1,
    "acknowledged": 2,
    "shelved": 3,
    "normal": 4,
}


class AlertView(BaseModel):
    """An alert. Times are UTC seconds."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: AlertName
    title: str
    site: str = Field(description="empty: about all sites, or about the cloud itself")
    line: str
    device: str
    about: str
    state: AlertState
    says: str
    fix: str
    began_at: float = Field(description="from when on its condition held")
    raised_at: float | None
    changed_at: float = Field(description="when its state last changed")
    ended_at: float | None
    by: str = Field(description="who changed its state last; empty: nobody did")
    reason: str = Field(description="why it is shelved")
    until: float | None = Field(description="how long it is shelved")
    times: int = Field(description="how often its condition came")

    @classmethod
    def of(cls, alert: Alert) -> AlertView:
        facts = {name: getattr(alert, name) for name in cls.model_fields if name != "title"}
        return cls(title=KINDS[alert.name].title, **facts)


class AlertEventView(BaseModel):
    """Something that happened to an alert."""

    model_config = ConfigDict(frozen=True)

    at: float = Field(description="UTC seconds")
    what: EventName
    who: str = Field(description="empty: nobody did it")
    why: str


class AlertCounts(BaseModel):
    """Open alerts by what people did of them."""

    model_config = ConfigDict(frozen=True)

    unacknowledged: int = Field(
        default=0, description="nobody has acknowledged them, whether they last or not"
    )
    acknowledged: int = 0
    shelved: int = 0

    @property
    def open(self) -> int:
        return self.unacknowledged + self.acknowledged


class AlertFilter(BaseModel):
    """Which alerts are meant; what is left out is any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str | None = Field(default=None, max_length=63)
    line: str | None = Field(default=None, max_length=63)
    device: str | None = Field(default=None, max_length=63)
    name: AlertName | None = None
    state: AlertState | None = None
    before: float | None = Field(
        default=None, description="raised before this time, UTC seconds: the page that follows"
    )

    @model_validator(mode="before")
    @classmethod
    def _left_open(cls, values: object) -> object:
        """A form sends what nobody chose as an empty text."""
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value != ""}


class AlertBoard:
    """Safe to share between threads. Every method but `counts` raises RecordsError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = AlertCounts()
        self._counted = float("-inf")

    def open(self) -> Sequence[AlertView]:
        """Those that are not over: unacknowledged first, then by when they were raised."""
        order = case(_ORDER, value=ALERTS.c.state, else_=len(_ORDER))
        query = (
            select(ALERTS)
            .where(ALERTS.c.open_key.is_not(None), ALERTS.c.state != "pending")
            .order_by(order, ALERTS.c.raised_at.desc())
        )
        return self._views(query)

    def history(self, asked: AlertFilter, limit: int) -> Sequence[AlertView]:
        """All that there were, the last that was raised first."""
        table = ALERTS
        query = select(table).where(table.c.raised_at.is_not(None))
        for name in ("site", "line", "device", "name", "state"):
            if (value := getattr(asked, name)) is not None:
                query = query.where(table.c[name] == value)
        if asked.before is not None:
            query = query.where(table.c.raised_at < asked.before)
        return self._views(query.order_by(table.c.raised_at.desc(), table.c.id).limit(limit))

    def alert(self, number: str) -> AlertView | None:
        found = self._views(select(ALERTS).where(ALERTS.c.id == number))
        return found[0] if found else None

    def events(self, number: str) -> Sequence[AlertEventView]:
        """What happened to an alert, in order."""
        table = ALERT_EVENTS
        query = select(table).where(table.c.alert == number).order_by(table.c.id)
        with self._database.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            AlertEventView(at=row["at"], what=row["what"], who=row["who"], why=row["why"])
            for row in rows
        ]

    def counts(self) -> AlertCounts:
        """At most FRESH_S old, for every page; the last ones where the database does not answer."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._counted >= FRESH_S:
                self._counted = now
                self._counts = self._count()
            return self._counts

    def stale(self) -> None:
        """Somebody has just changed one."""
        self._counted = float("-inf")

    def _count(self) -> AlertCounts:
        try:
            with self._database.begin() as connection:
                found = count_open(connection)
        except RecordsError:
            return self._counts
        return AlertCounts(
            unacknowledged=found.get("unacknowledged", 0) + found.get("returned", 0),
            acknowledged=found.get("acknowledged", 0),
            shelved=found.get("shelved", 0),
        )

    def _views(self, query: Select[Any]) -> Sequence[AlertView]:
        with self._database.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [AlertView.of(alert_of(row)) for row in rows]
