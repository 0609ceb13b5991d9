"""Alerts in the records' database: any number of workers raise each once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from cloud.alerts.conditions import AlertCondition, AlertName
from cloud.alerts.lifecycle import TOLD, Alert, AlertEvent, Step, begun, step
from cloud.alerts.notice import notice_text
from cloud.alerts.rules import Rule, RuleBook
from cloud.alerts.tables import (
    ALERT_EVENTS,
    ALERT_LEASES,
    ALERT_NOTICES,
    ALERT_RULES,
    ALERTS,
)
from cloud.records.database import Database
from cloud.records.store import insert_into
from cloud.records.workers import NOW
from shared.errors import AlertRefused
from shared.inspection import storable_text

KEPT_S = 400 * 24 * 3600.0
TRIES = 3
_TEXTS = {"says": 2000, "fix": 500, "by": 100, "reason": 500, "about": 200}

Changed = Callable[[Connection, Alert, Alert], None]
"""Called within the transaction, with the alert before and after."""


class AlertChange(NamedTuple):
    """What became of an alert just now."""

    alert: Alert
    event: AlertEvent


class AlertStore:
    """Safe to share between threads. Every method raises RecordsError."""

    def __init__(self, database: Database, channels: Sequence[str] = ()) -> None:
        """channels: by which others are told; a notice for each is written with what happened"""
        self._database = database
        self._channels = channels

    def hold(self, holder: str, for_s: float) -> bool:
        """Whether this worker is the one that looks after alerts, for so long from now."""
        lease = ALERT_LEASES
        with self._database.begin() as connection:
            now = NOW[connection.dialect.name]
            said = {"holder": holder, "until": now + for_s}
            mine = (lease.c.until < now) | (lease.c.holder == holder)
            made = insert_into(connection)(lease).values(id=1, **said)
            kept = made.on_conflict_do_update(index_elements=["id"], set_=said, where=mine)
            return connection.execute(kept.returning(lease.c.id)).first() is not None

    def release(self, holder: str) -> None:
        """Another worker may look after them at once."""
        with self._database.begin() as connection:
            connection.execute(delete(ALERT_LEASES).where(ALERT_LEASES.c.holder == holder))

    def rules(self) -> RuleBook:
        with self._database.begin() as connection:
            return _rules(connection)

    def set_rule(self, rule: Rule, written: Callable[[Connection, Rule], None]) -> None:
        """Keep a rule. `written` is called within the transaction with what held before."""
        row = asdict(rule)
        with self._database.begin() as connection:
            before = _rules(connection).of(rule.name, rule.site, rule.line)
            made = insert_into(connection)(ALERT_RULES).values(row)
            connection.execute(
                made.on_conflict_do_update(index_elements=["name", "site", "line"], set_=row)
            )
            written(connection, before)

    def advance(
        self, found: Sequence[AlertCondition], looked: Collection[AlertName], now: float
    ) -> list[AlertChange]:
        """Bring alerts up to date with what is wrong now.

        looked   the names that were looked for: of others nothing is known, and nothing has ended
        """
        happened: list[AlertChange] = []
        with self._database.begin() as connection:
            rules = _rules(connection)
            counted = {
                one.key: one
                for one in map(_storable, found)
                if rules.of(one.name, one.site, one.line).holds(one)
            }
            known = _alerts(connection, select(ALERTS).where(ALERTS.c.open_key.is_not(None)))
            for alert in known:
                condition = counted.pop(alert.key, None)
                if alert.name in looked:
                    rule = rules.of(alert.name, alert.site, alert.line)
                    happened += self._keep(
                        connection, alert, step(alert, condition, rule, now), now
                    )
            for condition in counted.values():
                rule = rules.of(condition.name, condition.site, condition.line)
                new = begun(condition, rule, secrets.token_hex(8), now)
                happened += self._add(connection, new, now)
        return happened

    def change(
        self, number: str, change: Callable[[Alert], Step], written: Changed, now: float
    ) -> Alert | None:
        """What a person does to an alert; None: there is none. Raises what `change` raises."""
        for _ in range(TRIES):
            with self._database.begin() as connection:
                found = _alerts(connection, select(ALERTS).where(ALERTS.c.id == number))
                if not found:
                    return None
                before = found[0]
                after = change(before)
                if self._keep(connection, before, after, now) and after.alert is not None:
                    written(connection, before, after.alert)
                    return after.alert
        raise AlertRefused("the alert changes all the time", fix="try again")

    def forget(self, now: float) -> None:
        """What was over long ago."""
        old = select(ALERTS.c.id).where(ALERTS.c.ended_at < now - KEPT_S)
        with self._database.begin() as connection:
            connection.execute(delete(ALERT_EVENTS).where(ALERT_EVENTS.c.alert.in_(old)))
            connection.execute(delete(ALERTS).where(ALERTS.c.ended_at < now - KEPT_S))

    def _keep(
        self, connection: Connection, before: Alert, after: Step, now: float
    ) -> list[AlertChange]:
        """Write down what changed; nothing where another worker was faster."""
        if after.alert == before:
            return []
        table = ALERTS
        same = (table.c.id == before.id) & (table.c.state == before.state)
        same &= table.c.changed_at == before.changed_at
        if after.alert is None:
            connection.execute(delete(table).where(same))
            return []
        if not connection.execute(update(table).where(same).values(_row(after.alert))).rowcount:
            return []
        return self._note(connection, after, now)

    def _add(self, connection: Connection, new: Step, now: float) -> list[AlertChange]:
        if new.alert is None:
            return []
        row = insert_into(connection)(ALERTS).values(_row(new.alert)).on_conflict_do_nothing()
        # Another worker may have raised it; how many rows that were is not known everywhere.
        if connection.execute(row.returning(ALERTS.c.id)).first() is None:
            return []
        return self._note(connection, new, now)

    def _note(self, connection: Connection, done: Step, now: float) -> list[AlertChange]:
        if done.alert is None:
            return []
        for event in done.events:
            row = {
                "alert": done.alert.id,
                "at": now,
                "what": event.what,
                "who": storable_text(event.who, 100),
                "why": storable_text(event.why, 500),
            }
            number = connection.execute(insert(ALERT_EVENTS).values(row)).inserted_primary_key
            if event.what in TOLD and number is not None:
                self._tell(connection, done.alert, event, int(number[0]), now)
        return [AlertChange(done.alert, event) for event in done.events]

    def _tell(
        self, connection: Connection, alert: Alert, event: AlertEvent, number: int, now: float
    ) -> None:
        told = {
            "alert": alert.id,
            "event": number,
            "says": notice_text(alert, event.what, number, now),
            "created_at": now,
            "due_at": now,
            "tries": 0,
            "done_at": None,
            "failed": "",
        }
        rows = [{**told, "channel": channel} for channel in self._channels]
        if rows:
            connection.execute(insert(ALERT_NOTICES), rows)


def _storable(condition: AlertCondition) -> AlertCondition:
    """Its key has to be the same when it comes back from the database."""
    return replace(
        condition,
        says=storable_text(condition.says, _TEXTS["says"]),
        fix=storable_text(condition.fix, _TEXTS["fix"]),
        about=storable_text(condition.about, _TEXTS["about"]),
    )


def _rules(connection: Connection) -> RuleBook:
    rows = connection.execute(select(ALERT_RULES)).mappings().all()
    return RuleBook([Rule(**{**row, "enabled": bool(row["enabled"])}) for row in rows])


def _alerts(connection: Connection, query: Any) -> list[Alert]:
    return [alert_of(row) for row in connection.execute(query).mappings().all()]


def alert_of(row: RowMapping | Mapping[str, Any]) -> Alert:
    return Alert(**{field.name: row[field.name] for field in fields(Alert)})


def _row(alert: Alert) -> dict[str, Any]:
    row = asdict(alert)
    for name, longest in _TEXTS.items():
        row[name] = storable_text(row[name], longest)
    return {**row, "open_key": None if alert.state == "normal" else alert.key}


def count_open(connection: Connection) -> dict[str, int]:
    """Open alerts by state; those that are pending are none."""
    table = ALERTS
    query = select(table.c.state, func.count()).where(
        table.c.open_key.is_not(None), table.c.state != "pending"
    )
    rows = connection.execute(query.group_by(table.c.state)).all()
    return {state: int(count) for state, count in rows}
