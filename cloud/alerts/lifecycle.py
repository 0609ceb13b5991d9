"""How an alert comes, is looked at, and goes: numbers and facts in, numbers and facts out.

States by ISA-18.2 (Management of Alarm Systems for the Process Industries, 2016):
`unacknowledged`, `acknowledged`, `returned` (it has gone before anybody acknowledged it),
`shelved` (somebody wants to hear nothing of it until a time), `normal` (it is over). Before that it
is `pending`: the condition has not lasted for long enough to be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from cloud.alerts.conditions import AlertCondition, AlertName
from cloud.alerts.rules import Rule
from shared.errors import AlertRefused

AlertState = Literal["pending", "unacknowledged", "acknowledged", "returned", "shelved", "normal"]
STATES: tuple[AlertState, ...] = get_args(AlertState)
OPEN: tuple[AlertState, ...] = ("unacknowledged", "acknowledged", "returned", "shelved")
EventName = Literal[
    "raised", "again", "back", "returned", "acknowledged", "shelved", "unshelved", "ended"
]
TOLD: frozenset[EventName] = frozenset({"raised", "again", "returned", "ended"})
"""What notices are sent of. Not `back`: what comes and goes within `again_s` is told once."""
LONGEST_SHELF_S = 7 * 24 * 3600.0
RETOLD_S = 30.0


@dataclass(frozen=True, slots=True)
class Alert:
    """Times are UTC seconds.

    began_at      from when on its condition holds
    raised_at     when it became an alert; None while it is pending
    changed_at    when its state last changed
    quiet_since   from when on its condition is gone; None: it is there
    again_at      when it is told again
    ended_at      when it was over
    by            who changed its state last; empty: nobody did
    reason        why it is shelved
    until         how long it is shelved
    times         how often its condition came
    said_at       when `says` was written
    """

    id: str
    name: AlertName
    site: str
    line: str
    device: str
    about: str
    state: AlertState
    says: str
    fix: str
    began_at: float
    changed_at: float
    said_at: float
    raised_at: float | None = None
    quiet_since: float | None = None
    again_at: float | None = None
    ended_at: float | None = None
    by: str = ""
    reason: str = ""
    until: float | None = None
    times: int = 1

    @property
    def key(self) -> str:
        return f"{self.name}|{self.site}|{self.line}|{self.device}|{self.about}"


class AlertEvent(NamedTuple):
    """Something that happened to an alert; `who` and `why` where a person did it."""

    what: EventName
    who: str = ""
    why: str = ""


class Step(NamedTuple):
    """What became of an alert; None: there is none, or none any more."""

    alert: Alert | None
    events: Sequence[AlertEvent] = ()


def begun(condition: AlertCondition, rule: Rule, number: str, now: float) -> Step:
    """What comes of a condition that no open alert is about. `number`: a new one's id."""
    since = now if condition.since is None else min(condition.since, now)
    alert = Alert(
        id=number,
        name=condition.name,
        site=condition.site,
        line=condition.line,
        device=condition.device,
        about=condition.about,
        state="pending",
        says=condition.says,
        fix=condition.fix,
        began_at=since,
        changed_at=now,
        said_at=now,
    )
    return _pending(alert, rule, now)


def step(alert: Alert, condition: AlertCondition | None, rule: Rule, now: float) -> Step:
    """What time and its condition do to an alert; None: its condition is gone."""
    seen = _seen(alert, condition, now)
    match alert.state:
        case "normal":
            return Step(alert)
        case "pending":
            return Step(None) if condition is None else _pending(seen, rule, now)
        case "shelved":
            return _shelved(seen, condition, rule, now)
        case "returned":
            return Step(seen) if condition is None else _back(seen, rule, now)
        case _:
            return _lasting(seen, condition, rule, now)


def acknowledged(alert: Alert, who: str, now: float) -> Step:
    """Somebody has seen it. Raises AlertRefused where there is nothing to acknowledge."""
    event = AlertEvent("acknowledged", who)
    if alert.state == "unacknowledged":
        return _changed(replace(alert, by=who), "acknowledged", now, event)
    if alert.state == "returned":
        over = _over(replace(alert, by=who), now)
        return Step(over.alert, [event])
    raise AlertRefused(
        f"the alert is {alert.state}", fix="only an unacknowledged one can be acknowledged"
    )


def shelved(alert: Alert, until: float, reason: str, who: str, now: float) -> Step:
    """Somebody wants to hear nothing of it until then. Raises AlertRefused."""
    if alert.state not in OPEN:
        raise AlertRefused(f"the alert is {alert.state}", fix="only an open one can be shelved")
    if not now < until <= now + LONGEST_SHELF_S:
        raise AlertRefused(
            "it can't be shelved until then", fix="choose a time within the next seven days"
        )
    if not reason.strip():
        raise AlertRefused("no reason was given", fix="say why nobody should be told")
    kept = replace(alert, by=who, reason=reason.strip(), until=until)
    return _changed(kept, "shelved", now, AlertEvent("shelved", who, reason.strip()))


def unshelved(alert: Alert, who: str, now: float) -> Step:
    """Somebody wants to hear of it again. Raises AlertRefused where it is not shelved."""
    if alert.state != "shelved":
        raise AlertRefused(f"the alert is {alert.state}", fix="only a shelved one can be unshelved")
    kept = replace(alert, by=who, reason="", until=None)
    event = AlertEvent("unshelved", who)
    if alert.quiet_since is not None:
        return Step(_over(kept, now).alert, [event])
    return _changed(kept, "unacknowledged", now, event)


def _seen(alert: Alert, condition: AlertCondition | None, now: float) -> Alert:
    if condition is None:
        return alert if alert.quiet_since is not None else replace(alert, quiet_since=now)
    seen = alert if alert.quiet_since is None else replace(alert, quiet_since=None)
    told = (condition.says, condition.fix)
    # A number in it may be another one each time: what is written down need not be.
    if told != (alert.says, alert.fix) and now - alert.said_at >= RETOLD_S:
        seen = replace(seen, says=condition.says, fix=condition.fix, said_at=now)
    return seen


def _lasting(seen: Alert, condition: AlertCondition | None, rule: Rule, now: float) -> Step:
    """What is acknowledged or not, and was raised."""
    if seen.quiet_since is not None and now - seen.quiet_since >= rule.clear_s:
        if seen.state == "acknowledged":
            return _over(seen, now)
        return _changed(seen, "returned", now, AlertEvent("returned"))
    if condition is not None and seen.again_at is not None and now >= seen.again_at:
        again = replace(seen, again_at=now + rule.again_s, by="")
        return _changed(again, "unacknowledged", now, AlertEvent("again"))
    return Step(seen)


def _pending(alert: Alert, rule: Rule, now: float) -> Step:
    if now - alert.began_at < rule.delay_s:
        return Step(alert)
    raised = replace(alert, raised_at=now, again_at=now + rule.again_s)
    return _changed(raised, "unacknowledged", now, AlertEvent("raised"))


def _back(alert: Alert, rule: Rule, now: float) -> Step:
    due = alert.again_at is not None and now >= alert.again_at
    again_at = now + rule.again_s if due else alert.again_at
    back = replace(alert, times=alert.times + 1, again_at=again_at)
    return _changed(back, "unacknowledged", now, AlertEvent("again" if due else "back"))


def _shelved(alert: Alert, condition: AlertCondition | None, rule: Rule, now: float) -> Step:
    if alert.until is not None and now < alert.until:
        return Step(alert)
    kept = replace(alert, by="", reason="", until=None, again_at=now + rule.again_s)
    if condition is None:
        return _over(kept, now)
    return _changed(kept, "unacknowledged", now, AlertEvent("again"))


def _over(alert: Alert, now: float) -> Step:
    return _changed(replace(alert, ended_at=now), "normal", now, AlertEvent("ended"))


def _changed(alert: Alert, state: AlertState, now: float, event: AlertEvent) -> Step:
    return Step(replace(alert, state=state, changed_at=now), [event])
