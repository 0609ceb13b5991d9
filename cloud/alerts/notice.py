"""What others are told of an alert: the same facts by every channel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from cloud.alerts.conditions import KINDS
from cloud.alerts.lifecycle import Alert, EventName

HEADLINES: dict[str, str] = {
    "raised": "Alert",
    "again": "Alert again",
    "returned": "Gone, not acknowledged",
    "ended": "Over",
    "test": "Test",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One word to one channel.

    facts   for programs, all of JSON's types
    """

    id: int
    channel: str
    facts: dict[str, Any]
    tries: int = 0

    @property
    def where(self) -> str:
        """`plant / line-1 / box-1`; `the cloud` where it is about none of them."""
        steps = (self.facts["site"], self.facts["line"], self.facts["device"])
        return " / ".join(step for step in steps if step) or "the cloud"

    @property
    def headline(self) -> str:
        """One line for people."""
        facts = self.facts
        return f"{HEADLINES.get(facts['event'], facts['event'])}: {facts['title']}, {self.where}"

    @property
    def text(self) -> str:
        """Some lines for people."""
        facts = self.facts
        return f"{self.headline}\n\n{facts['says']}\n{facts['fix']}\n"


class Channel(Protocol):
    """A way by which others are told.

    name      of it among all channels, and for people
    """

    name: str

    def deliver(self, notice: Notice) -> None:
        """Returns when the other side has it. Raises NoticeUndelivered. It may get it twice."""


def notice_text(alert: Alert, event: EventName, number: int, now: float) -> str:
    """The facts of a notice as they are kept until it is delivered.

    number   of what happened: whoever gets it twice knows it by this
    """
    facts = {
        "event": event,
        "number": number,
        "alert": alert.id,
        "name": alert.name,
        "title": KINDS[alert.name].title,
        "site": alert.site,
        "line": alert.line,
        "device": alert.device,
        "about": alert.about,
        "state": alert.state,
        "says": alert.says,
        "fix": alert.fix,
        "began_at": alert.began_at,
        "raised_at": alert.raised_at,
        "at": now,
    }
    return json.dumps(facts, ensure_ascii=False, sort_keys=True)


def trial_notice(channel: str, now: float) -> Notice:
    """One that says that it is a test."""
    facts = {
        "event": "test",
        "number": 0,
        "alert": "test",
        "name": "cloud",
        "title": "a test, nothing is wrong",
        "site": "",
        "line": "",
        "device": "",
        "about": "",
        "state": "normal",
        "says": "Somebody tries whether notices of alerts arrive: this one has.",
        "fix": "Nothing is to be done.",
        "began_at": now,
        "raised_at": now,
        "at": now,
    }
    return Notice(0, channel, facts)
