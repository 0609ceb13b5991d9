"""What people do to alerts: each is an entry of the audit log, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from cloud.accounts.audit import AuditLog
from cloud.alerts import lifecycle
from cloud.alerts.board import AlertBoard
from cloud.alerts.lifecycle import Alert, Step
from cloud.alerts.rules import Rule
from cloud.alerts.store import AlertStore
from shared.clock import Clock
from shared.errors import AlertRefused
from shared.web.access import Caller

MINUTE_S = 60.0


class AlertDesk:
    """Safe to share between threads. Every method raises RecordsError, and AlertRefused where the
    alert is not there, or not in a state for it."""

    def __init__(
        self,
        store: AlertStore,
        board: AlertBoard,
        audit: AuditLog,
        clock: Clock,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """changed: called when something has changed that others may be told of"""
        self._store = store
        self._board = board
        self._audit = audit
        self._clock = clock
        self._tell = changed

    def acknowledge(self, number: str, caller: Caller) -> None:
        who, now = caller.signs(), self._clock.utc()
        self._change(
            number,
            caller,
            "alert acknowledge",
            lambda alert: lifecycle.acknowledged(alert, who, now),
        )

    def shelve(self, number: str, caller: Caller, minutes: float, reason: str) -> None:
        """For so long nobody is told of it."""
        who, now = caller.signs(), self._clock.utc()
        until = now + minutes * MINUTE_S

        def change(alert: Alert) -> Step:
            return lifecycle.shelved(alert, until, reason, who, now)

        self._change(number, caller, "alert shelve", change)

    def unshelve(self, number: str, caller: Caller) -> None:
        who, now = caller.signs(), self._clock.utc()
        self._change(
            number, caller, "alert unshelve", lambda alert: lifecycle.unshelved(alert, who, now)
        )

    def set_rule(self, rule: Rule, caller: Caller) -> None:
        subject = "/".join(step for step in (rule.site, rule.line, rule.name) if step)

        def written(connection: Connection, before: Rule) -> None:
            entry = caller.did("alert rule", subject, before.facts(), rule.facts())
            self._audit.append(connection, entry)

        self._store.set_rule(rule, written)
        self._tell()

    def _change(
        self, number: str, caller: Caller, what: str, change: Callable[[Alert], Step]
    ) -> None:
        def written(connection: Connection, before: Alert, after: Alert) -> None:
            facts: dict[str, str] = {"state": after.state}
            if after.state == "shelved":
                facts |= {"reason": after.reason, "until": f"{after.until:.0f}"}
            subject = f"{after.key} {after.id}"
            self._audit.append(
                connection, caller.did(what, subject, {"state": before.state}, facts)
            )

        if self._store.change(number, change, written, self._clock.utc()) is None:
            raise AlertRefused(f"there is no alert {number}", fix="see /alerts for those there are")
        self._board.stale()
        self._tell()
