"""The audit log: entries are added, read and checked, and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlmodel import col

from cloud.accounts.chain import ChainReport, Row, examine, hash_of
from cloud.accounts.tables import AuditHeadRecord, AuditRecord
from cloud.records.database import Database
from shared.clock import Clock
from shared.web.audit import AuditEntry, Facts

LONGEST_FACTS = 4_000
BATCH = 1_000


class AuditView(BaseModel):
    """One entry."""

    number: int
    at: float = Field(description="UTC seconds")
    who: str
    means: str = Field(description="how that is known: session, token, command, or not")
    address: str = Field(description="from where; empty: the cloud's own machine")
    what: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; what is empty lets all through.

    who      the account
    what     the words that it begins with: `rollout` finds `rollout approve`
    subject  a piece of what it was done to
    since, until   UTC seconds
    """

    who: str = ""
    what: str = ""
    subject: str = ""
    since: float | None = None
    until: float | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        entry, found = AuditRecord, []
        if self.who:
            found.append(col(entry.who) == self.who)
        if self.what:
            found.append(col(entry.what).startswith(self.what, autoescape=True))
        if self.subject:
            found.append(col(entry.subject).contains(self.subject, autoescape=True))
        if self.since is not None:
            found.append(col(entry.at) >= self.since)
        if self.until is not None:
            found.append(col(entry.at) < self.until)
        return found


class AuditLog:
    """A `shared.web.audit.AuditTrail` in the records' database. Safe to share between threads and
    between the cloud's processes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(self, entry: AuditEntry) -> None:
        """In a transaction of its own. Raises RecordsError."""
        with self._database.begin() as connection:
            self.append(connection, entry)

    def hold(self, connection: Connection) -> None:
        """Let nobody else append until this transaction ends, who would read what it changes."""
        head = AuditHeadRecord
        connection.execute(update(head).values(number=col(head.number)))

    def append(self, connection: Connection, entry: AuditEntry) -> None:
        """Within the transaction that makes the change: both are kept, or none."""
        head = AuditHeadRecord
        # First the update, which locks: who comes at the same time waits until this is committed.
        connection.execute(update(head).values(number=col(head.number) + 1))
        number, previous = connection.execute(select(col(head.number), col(head.hash))).one()
        row: dict[str, Any] = {
            "number": number,
            "at": self._clock.utc(),
            "who": _plain(entry.who, 100),
            "means": entry.means,
            "address": _plain(entry.address, 64),
            "what": _plain(entry.what, 100),
            "subject": _plain(entry.subject, 255),
            "before": _text(entry.before),
            "after": _text(entry.after),
            "previous": previous,
        }
        row["hash"] = hash_of(row)
        connection.execute(insert(AuditRecord).values(row))
        connection.execute(update(head).values(hash=row["hash"]))

    def search(self, wanted: AuditFilter, limit: int, before: int | None = None) -> list[AuditView]:
        """Entries that a filter lets through, newest first. Raises RecordsError."""
        number = col(AuditRecord.number)
        query = select(AuditRecord).where(*wanted.conditions).order_by(number.desc()).limit(limit)
        if before is not None:
            query = query.where(number < before)
        with self._database.begin() as connection:
            return [_view(dict(row)) for row in connection.execute(query).mappings()]

    def newest(self, limit: int, before: int | None = None) -> list[AuditView]:
        """The newest entries, or those before one, newest first. Raises RecordsError."""
        return self.search(AuditFilter(), limit, before)

    def verify(self, expected: str = "") -> ChainReport:
        """Whether the log is whole, and goes on from a hash that was written down elsewhere."""
        with self._database.begin() as connection:
            head = connection.execute(
                select(col(AuditHeadRecord.number), col(AuditHeadRecord.hash))
            ).one_or_none()
            number, last = head or (0, "")
            # What is written meanwhile lies beyond.
            return examine(_rows(connection, number), number, last, expected)


def _rows(connection: Connection, upto: int) -> Iterator[Row]:
    """In order, some at a time; what lies beyond the end counts only where nobody writes now."""
    number = col(AuditRecord.number)
    last = None
    while True:
        query = select(AuditRecord).where(number <= upto).order_by(number).limit(BATCH)
        if last is not None:
            query = query.where(number > last)
        result = connection.execute(query)
        # Once for all rows: the whole log is read, and a mapping of each costs more than its hash.
        names = tuple(result.keys())
        rows = [dict(zip(names, row, strict=True)) for row in result]
        if not rows:
            return
        yield from rows
        last = rows[-1]["number"]


def _view(row: Mapping[str, Any]) -> AuditView:
    facts = {name: json.loads(row[name]) if row[name] else None for name in ("before", "after")}
    return AuditView.model_validate({**row, **facts})


def _text(facts: Facts | None) -> str:
    if not facts:
        return ""
    text = json.dumps(facts, ensure_ascii=True, sort_keys=True, default=str)
    return text if len(text) <= LONGEST_FACTS else json.dumps({"characters": len(text)})


def _plain(text: str, longest: int) -> str:
    """As every database keeps it: PostgreSQL knows neither NUL nor lone surrogates."""
    kept = text.encode("utf-8", "replace").decode().replace("\0", "�")
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"
