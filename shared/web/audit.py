"""What is written down of who did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did, or wanted to do.

    who      the account; what somebody called themselves where nobody can know
    means    how that is known: by a session, a token, or not
    address  from where; empty: on the cloud's own machine
    what     in two or three words: `label`, `rollout approve`; with `refused` behind it where it
             was written down first and then not done
    subject  what it was done to
    before, after   what changed, without secrets
    """

    who: str
    means: str
    address: str
    what: str
    subject: str
    before: Facts | None = None
    after: Facts | None = None


class AuditTrail(Protocol):
    """Where entries are kept."""

    def record(self, entry: AuditEntry) -> None:
        """Returns when it is kept. Raises RecordsError: then what it says must not be done."""


class RecordingTrail:
    """Keeps entries in memory: for tests, and where routes are described only."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)
