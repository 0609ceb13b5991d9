"""Reading records. Every method raises RecordsError where the database can't be read."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, and_, case, func, or_, select, tuple_
from sqlmodel import col

from cloud.records.database import Database
from cloud.records.tables import DeviceRecord, InspectionRecord, ReviewRecord, TailRecord
from cloud.records.views import (
    Count,
    DeviceView,
    InspectionCounts,
    InspectionPage,
    InspectionView,
    Minute,
    ReviewView,
    TailView,
)
from shared.contracts import DECIDERS, Decider, InspectionKey, Verdict
from shared.errors import SettingsError

Condition = ColumnElement[bool]
Position = tuple[float, str, str, int]
Query: TypeAlias = Select[*tuple[Any, ...]]
Keyed: TypeAlias = type[InspectionRecord | TailRecord | ReviewRecord]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which inspections are wanted; None means any.

    part_from, part_to  both ends included
    since, until        UTC seconds of the inspection, `until` excluded
    reviewed            whether an inspector has said something
    doubtful            whether the box was not sure of it, or judged it without a picture
    """

    site: str | None = None
    line: str | None = None
    device: str | None = None
    verdict: Verdict | None = None
    decided_by: Decider | None = None
    escalated: bool | None = None
    part_from: int | None = None
    part_to: int | None = None
    since: float | None = None
    until: float | None = None
    reviewed: bool | None = None
    doubtful: bool | None = None

    def conditions(self) -> list[Condition]:
        row = InspectionRecord
        equal = {
            "site": self.site,
            "line": self.line,
            "device": self.device,
            "verdict": self.verdict,
            "decided_by": self.decided_by,
        }
        found: list[Condition] = [
            col(getattr(row, name)) == value for name, value in equal.items() if value is not None
        ]
        if self.escalated is not None:
            found.append((col(row.decision) == "escalate") == self.escalated)
        if self.reviewed is not None:
            found.append(col(ReviewRecord.device).is_not(None) == self.reviewed)
        if self.doubtful is not None:
            sure = and_(col(row.decision) != "escalate", col(row.decided_by) != "deadline")
            found.append(~sure if self.doubtful else sure)
        if self.part_from is not None:
            found.append(col(row.part) >= self.part_from)
        if self.part_to is not None:
            found.append(col(row.part) <= self.part_to)
        if self.since is not None:
            found.append(col(row.inspected_at) >= self.since)
        if self.until is not None:
            found.append(col(row.inspected_at) < self.until)
        return found


class Records:
    """The reading side of the records. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def inspections(
        self, wanted: Filter, *, limit: int, cursor: str | None = None
    ) -> InspectionPage:
        """Inspections, newest first. Raises SettingsError for a cursor that is not ours."""
        order = [col(InspectionRecord.inspected_at), *_key(InspectionRecord)]
        query = _joined().where(*wanted.conditions())
        if cursor is not None:
            query = query.where(tuple_(*order) < tuple_(*_position(cursor)))
        query = query.order_by(*(column.desc() for column in order)).limit(limit + 1)
        found = [_view(row) for row in self._maps(query)]
        more = len(found) > limit
        return InspectionPage(
            inspections=found[:limit], next=_cursor(found[limit - 1]) if more else None
        )

    def inspection(self, key: InspectionKey) -> InspectionView | None:
        """One inspection, or the escalation whose inspection has not been reported yet."""
        rows = self._maps(_joined().where(*_is(InspectionRecord, key)))
        if rows:
            return _view(rows[0])
        waiting = self._maps(_unreported().where(*_is(TailRecord, key)))
        return _view(waiting[0]) if waiting else None

    def pictures(self, key: InspectionKey) -> tuple[bytes, bytes] | None:
        """The defect map and what the tail saw, grey PNG each; None where none are kept."""
        query = select(col(TailRecord.map_png), col(TailRecord.seen_png))
        for found, seen in self._rows(query.where(*_is(TailRecord, key))):
            if found is not None and seen is not None:
                return found, seen
        return None

    def last_defects(self, limit: int) -> list[InspectionView]:
        """The newest inspections that were rejected, or that the tail would reject."""
        defective = or_(
            col(InspectionRecord.verdict) == "reject", col(TailRecord.verdict) == "reject"
        )
        newest = col(InspectionRecord.inspected_at).desc()
        reported = self._maps(_joined().where(defective).order_by(newest).limit(limit))
        waiting = self._maps(
            _unreported()
            .where(col(TailRecord.verdict) == "reject")
            .order_by(col(TailRecord.received_at).desc())
            .limit(limit)
        )
        views = [_view(row) for row in (*reported, *waiting)]
        return sorted(views, key=lambda view: view.at, reverse=True)[:limit]

    def devices(self) -> list[DeviceView]:
        """Every device's last state, by site, line and name."""
        row = DeviceRecord
        columns = [col(getattr(row, name)) for name in row.model_fields]
        query = select(*columns).order_by(col(row.site), col(row.line), col(row.device))
        return [
            DeviceView.model_validate({**found, "problems": found["problems"].splitlines()})
            for found in self._maps(query)
        ]

    def counts(self, *, now: float, minutes: int) -> InspectionCounts:
        """All inspections by who decided and how; per minute for the last `minutes`.

        now   UTC seconds; the last minute is the one that has begun
        """
        row = InspectionRecord
        by_end = select(col(row.decided_by), col(row.verdict), func.count()).group_by(
            col(row.decided_by), col(row.verdict)
        )
        totals = [
            Count(decided_by=decider, verdict=verdict, count=count)
            for decider, verdict, count in self._rows(by_end)
        ]
        return InspectionCounts(totals=totals, minutes=self._minutes(now, minutes))

    def _minutes(self, now: float, minutes: int) -> list[Minute]:
        row = InspectionRecord
        last = int(now // 60) * 60
        first = last - 60 * (minutes - 1)
        which = func.floor(col(row.inspected_at) / 60)
        query = (
            select(which, col(row.decided_by), func.count())
            .where(col(row.inspected_at) >= first, col(row.inspected_at) < last + 60)
            .group_by(which, col(row.decided_by))
        )
        found: dict[int, dict[str, int]] = {
            at: dict.fromkeys(DECIDERS, 0) for at in range(first, last + 60, 60)
        }
        for minute, decider, count in self._rows(query):
            found[int(minute) * 60][decider] = count
        return [Minute(at=at, **by_decider) for at, by_decider in found.items()]

    def _rows(self, query: Query) -> Sequence[Any]:
        with self._database.begin() as connection:
            return connection.execute(query).all()

    def _maps(self, query: Query) -> Sequence[RowMapping]:
        with self._database.begin() as connection:
            return connection.execute(query).mappings().all()


def contradicts() -> Condition:
    """A tail result that says otherwise than what was actuated."""
    return and_(
        col(TailRecord.verdict) != col(InspectionRecord.verdict),
        col(InspectionRecord.decided_by) != "inspector",
    )


def same_key() -> Condition:
    """Joins a tail result to its inspection."""
    return _same(InspectionRecord, TailRecord)


_TAIL_COLUMNS: tuple[Any, ...] = (
    col(TailRecord.score).label("tail_score"),
    col(TailRecord.verdict).label("tail_verdict"),
    col(TailRecord.cloud_ms),
    col(TailRecord.batch),
    case((col(TailRecord.map_png).is_not(None), 1), else_=0).label("has_map"),
    col(TailRecord.received_at).label("tail_received_at"),
    col(TailRecord.kind),
    col(TailRecord.kind_probability),
    col(TailRecord.coarseness),
)
_REVIEW_COLUMNS: tuple[Any, ...] = (
    col(ReviewRecord.verdict).label("review_verdict"),
    col(ReviewRecord.kind).label("review_kind"),
    col(ReviewRecord.inspector),
    col(ReviewRecord.reviewed_at),
    col(ReviewRecord.delivered_at),
    col(ReviewRecord.has_picture),
)
_OWN = (
    "device",
    "boot",
    "sequence",
    "site",
    "line",
    "part",
    "decision",
    "verdict",
    "decided_by",
    "score",
    "edge_ms",
    "total_ms",
    "escalated_bytes",
    "frame_bytes",
    "source",
    "bundle",
)


def _joined() -> Query:
    row = InspectionRecord
    own = [col(getattr(row, name)) for name in _OWN]
    at: Any = col(row.inspected_at).label("at")
    late = case((contradicts(), 1), else_=0).label("contradicted")
    return (
        select(*own, at, late, *_TAIL_COLUMNS, *_REVIEW_COLUMNS)
        .select_from(row)
        .outerjoin(TailRecord, same_key())
        .outerjoin(ReviewRecord, _same(InspectionRecord, ReviewRecord))
    )


def _unreported() -> Query:
    row = TailRecord
    own = [col(getattr(row, name)) for name in ("device", "boot", "sequence", "site", "line")]
    at: Any = col(row.received_at).label("at")
    return (
        select(*own, col(row.part), at, *_TAIL_COLUMNS, *_REVIEW_COLUMNS)
        .select_from(row)
        .outerjoin(InspectionRecord, same_key())
        .outerjoin(ReviewRecord, _same(TailRecord, ReviewRecord))
        .where(col(InspectionRecord.device).is_(None))
    )


def _view(row: RowMapping) -> InspectionView:
    known: dict[str, Any] = dict.fromkeys(_OWN)
    known |= {"decision": "escalate", "contradicted": False, **row}
    tail = None
    if known["tail_verdict"] is not None:
        tail = TailView(
            score=known["tail_score"],
            verdict=known["tail_verdict"],
            cloud_ms=known["cloud_ms"],
            batch=known["batch"],
            has_map=known["has_map"],
            received_at=known["tail_received_at"],
            kind=known["kind"],
            kind_probability=known["kind_probability"],
            coarseness=known["coarseness"],
        )
    review = None
    if known["review_verdict"] is not None:
        review = ReviewView(
            verdict=known["review_verdict"],
            kind=known["review_kind"],
            inspector=known["inspector"],
            reviewed_at=known["reviewed_at"],
            delivered_at=known["delivered_at"],
            has_picture=known["has_picture"],
        )
    return InspectionView.model_validate({**known, "tail": tail, "review": review})


def _key(table: Keyed) -> list[Any]:
    return [col(table.device), col(table.boot), col(table.sequence)]


def _same(one: Keyed, other: Keyed) -> Condition:
    return and_(*(this == that for this, that in zip(_key(one), _key(other), strict=True)))


def _is(table: Keyed, key: InspectionKey) -> list[Condition]:
    return [column == part for column, part in zip(_key(table), key, strict=True)]


def _cursor(last: InspectionView) -> str:
    position: Position = (last.at, last.device, last.boot, last.sequence)
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(position)).decode().rstrip("=")


def _position(cursor: str) -> Position:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position: Position = msgspec.msgpack.decode(raw, type=Position)
    except (ValueError, msgspec.DecodeError) as error:
        raise SettingsError(
            f"the cursor {cursor[:80]!r} is none of ours", fix="pass `next` of the page before"
        ) from error
    return position
