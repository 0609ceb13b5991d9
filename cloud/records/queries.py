"""Reading records. Every method raises RecordsError where the database can't be read."""

from __future__ import annotations

import base64
import operator
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    Table,
    and_,
    case,
    func,
    inspect,
    or_,
    select,
    tuple_,
)
from sqlmodel import col

from cloud.records.clocks import clock_problems
from cloud.records.database import Database
from cloud.records.settlement import LINE_DECIDED_BY, LINE_VERDICT
from cloud.records.tables import (
    INSPECTIONS,
    WAITS_FOR_PERSON,
    DeviceRecord,
    LabelRecord,
    TailRecord,
)
from cloud.records.views import (
    Count,
    DeviceView,
    InspectionCounts,
    InspectionPage,
    InspectionView,
    LabelView,
    Minute,
    RecordView,
    TailView,
    with_columns,
)
from shared.contracts import DECIDERS, Decider, Decision, InspectionKey, Verdict
from shared.errors import SettingsError
from shared.inspection import COLUMNS, LARGEST_NUMBER, LINE_COLUMNS

Condition = ColumnElement[bool]
# No database keeps a NUL, and one fails where it is asked for it.
NO_NUL = r"^[^\x00]*$"
KeyText = Annotated[str, msgspec.Meta(pattern=NO_NUL)]
KeyNumber = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]
Position = tuple[float, KeyText, KeyText, KeyNumber]
Query: TypeAlias = Select[*tuple[Any, ...]]
Beside: TypeAlias = type[TailRecord | LabelRecord]
Keyed: TypeAlias = Table | Beside

ROW = INSPECTIONS.c
UNSURE = (Decision.ESCALATE.value, Decision.REVIEW.value)
DIVERTED = ("reject", "review")
OptionalName = Annotated[str | None, Field(max_length=63, pattern=NO_NUL)]
OptionalPart = Annotated[int | None, Field(ge=0, le=LARGEST_NUMBER)]


@with_columns(LINE_COLUMNS, default=None, pattern=NO_NUL)
class Filter(BaseModel):
    """Which inspections are wanted; null means any. A field that is a column wants this value."""

    model_config = ConfigDict(frozen=True)

    site: OptionalName = None
    line: OptionalName = None
    device: OptionalName = None
    verdict: Verdict | None = None
    decided_by: Decider | None = None
    escalated: bool | None = None
    part_from: OptionalPart = Field(default=None, description="this part and later ones")
    part_to: OptionalPart = Field(default=None, description="this part and earlier ones")
    since: float | None = Field(default=None, description="received from then on, UTC seconds")
    until: float | None = Field(default=None, description="received before, UTC seconds")
    reviewed: bool | None = Field(default=None, description="an inspector has labelled it")
    to_review: bool | None = Field(
        default=None, description="it waits for an inspector: in review, or diverted by a deadline"
    )
    doubtful: bool | None = Field(
        default=None, description="the box was not sure, or had no picture"
    )

    def conditions(self) -> list[Condition]:
        sure = and_(ROW.decision.not_in(UNSURE), LINE_DECIDED_BY != "deadline")
        labelled = col(LabelRecord.device).is_not(None)
        either = (
            (ROW.decision == "escalate", self.escalated),
            (labelled, self.reviewed),
            (and_(WAITS_FOR_PERSON, ~labelled), self.to_review),
            (~sure, self.doubtful),
        )
        bounds = (
            (operator.ge, ROW.part, self.part_from),
            (operator.le, ROW.part, self.part_to),
            (operator.ge, ROW.received_at, self.since),
            (operator.lt, ROW.received_at, self.until),
        )
        return [
            *(ROW[name] == wanted for name, wanted in self if name in ROW and wanted is not None),
            *(holds if wanted else ~holds for holds, wanted in either if wanted is not None),
            *(compare(column, bound) for compare, column, bound in bounds if bound is not None),
        ]


class Records:
    """The reading side of the records. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def inspections(
        self, wanted: Filter, *, limit: int, cursor: str | None = None
    ) -> InspectionPage:
        """Inspections, the last that came first.

        Raises SettingsError for a cursor that is not ours.
        """
        order = [ROW.received_at, *_key(INSPECTIONS)]
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
        rows = self._maps(_joined().where(*has_key(INSPECTIONS, key)))
        if rows:
            return _view(rows[0])
        waiting = self._maps(_unreported().where(*has_key(TailRecord, key)))
        return _view(waiting[0]) if waiting else None

    def pictures(self, key: InspectionKey) -> tuple[bytes, bytes] | None:
        """The defect map and what the tail saw, grey PNG each; None where none are kept."""
        query = select(col(TailRecord.map_png), col(TailRecord.seen_png))
        for found, seen in self._rows(query.where(*has_key(TailRecord, key))):
            if found is not None and seen is not None:
                return found, seen
        return None

    def last_defects(self, limit: int) -> list[InspectionView]:
        """The newest inspections that did not pass, or that the tail would not let pass; without
        those that an inspector has passed."""
        answered = and_(col(TailRecord.verdict).in_(DIVERTED), ROW.decided_by != "inspector")
        defective = or_(ROW.verdict.in_(DIVERTED), answered)
        newest = _joined().where(defective).order_by(ROW.received_at.desc()).limit(limit)
        reported = self._maps(newest)
        waiting = self._maps(
            _unreported()
            .where(col(TailRecord.verdict).in_(DIVERTED))
            .order_by(col(TailRecord.received_at).desc())
            .limit(limit)
        )
        views = [_view(row) for row in (*reported, *waiting)]
        return sorted(views, key=lambda view: view.received_at, reverse=True)[:limit]

    def devices(self) -> list[DeviceView]:
        """Every device's last state, by site, line and name."""
        row = DeviceRecord
        columns = [col(getattr(row, name)) for name in row.model_fields]
        query = select(*columns).order_by(col(row.site), col(row.line), col(row.device))
        return [
            DeviceView.model_validate(
                {
                    **found,
                    "problems": [
                        *found["problems"].splitlines(),
                        *clock_problems(found["clock_off_s"]),
                    ],
                }
            )
            for found in self._maps(query)
        ]

    def counts(self, *, now: float, minutes: int) -> InspectionCounts:
        """All inspections by who decided and how; per minute for the last `minutes`.

        now   UTC seconds; the last minute is the one that has begun
        """
        ends = (ROW.decided_by, ROW.verdict)
        by_end = select(*ends, func.count()).group_by(*ends)
        totals = [
            Count(decided_by=decider, verdict=verdict, count=count)
            for decider, verdict, count in self._rows(by_end)
        ]
        return InspectionCounts(totals=totals, minutes=self._minutes(now, minutes))

    def _minutes(self, now: float, minutes: int) -> list[Minute]:
        last = int(now // 60) * 60
        first = last - 60 * (minutes - 1)
        which = func.floor(ROW.received_at / 60)
        query = (
            select(which, LINE_DECIDED_BY, func.count())
            .where(ROW.received_at >= first, ROW.received_at < last + 60)
            .group_by(which, LINE_DECIDED_BY)
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
    """A tail result that would have done otherwise to the part: a reject and a review divert it."""
    otherwise = (col(TailRecord.verdict) == "pass") != (LINE_VERDICT == "pass")
    # What was drawn as a control was diverted whatever the tail said.
    return and_(otherwise, ROW.control.not_in(("pass", "reject")))


def same_key(one: Keyed = TailRecord, other: Keyed = INSPECTIONS) -> Condition:
    """Joins two tables by inspection."""
    return and_(*(this == that for this, that in zip(_key(one), _key(other), strict=True)))


def _columns_of(table: Beside, view: type[RecordView]) -> list[Any]:
    """What a view wants of the table beside an inspection, named like `tail_results_score`."""
    made: dict[str, ColumnElement[Any]] = {
        "has_map": case((col(TailRecord.map_png).is_not(None), 1), else_=0),
        "settles": case(
            (ROW.decided_by == "inspector", 1), (ROW.decided_by.is_not(None), 0), else_=None
        ),
    }
    return [
        (made[name] if name in made else col(getattr(table, name))).label(_name(table, name))
        for name in view.model_fields
    ]


def _name(table: Beside, column: str) -> str:
    return f"{table.__tablename__}_{column}"


_LINE = ("line_verdict", "line_decided_by")
_OWN = ("device", "site", "line", "received_at", *_LINE, *(column.name for column in COLUMNS))
_BESIDE = (*_columns_of(TailRecord, TailView), *_columns_of(LabelRecord, LabelView))


def _joined() -> Query:
    own = [ROW[name] for name in _OWN if name != "inspected_at"]
    late = case((contradicts(), 1), else_=0).label("contradicted")
    return (
        select(*own, ROW.inspected_at.label("at"), late, *_BESIDE)
        .select_from(INSPECTIONS)
        .outerjoin(TailRecord, same_key())
        .outerjoin(LabelRecord, same_key(LabelRecord))
    )


def _unreported() -> Query:
    row = TailRecord
    names = ("device", "boot", "sequence", "site", "line", "part", "received_at")
    own = [col(getattr(row, name)) for name in names]
    return (
        select(*own, col(row.received_at).label("at"), *_BESIDE)
        .select_from(row)
        .outerjoin(INSPECTIONS, same_key())
        .outerjoin(LabelRecord, same_key(LabelRecord, row))
        .where(ROW.device.is_(None))
    )


def _view(row: RowMapping) -> InspectionView:
    known: dict[str, Any] = dict.fromkeys(_OWN)
    known |= {"decision": "escalate", "contradicted": False, **row}
    known["tail"] = _beside(row, TailRecord, TailView)
    known["review"] = _beside(row, LabelRecord, LabelView)
    return InspectionView.model_validate(known)


def _beside(row: RowMapping, table: Beside, view: type[RecordView]) -> dict[str, Any] | None:
    """The view's fields; None where the table has no row."""
    found = {name: row[_name(table, name)] for name in view.model_fields}
    return found if found["verdict"] is not None else None


def _key(table: Keyed) -> list[Any]:
    columns = table.c if isinstance(table, Table) else inspect(table).columns
    return [columns[name] for name in InspectionKey._fields]


def has_key(table: Keyed, key: InspectionKey) -> list[Condition]:
    """Finds the row of one inspection."""
    return [column == part for column, part in zip(_key(table), key, strict=True)]


def _cursor(last: InspectionView) -> str:
    position: Position = (last.received_at, last.device, last.boot, last.sequence)
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
