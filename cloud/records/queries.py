"""Reading records. Every method raises RecordsError where the database can't be read."""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    RowMapping,
    Select,
    and_,
    case,
    func,
    or_,
    select,
    union_all,
)
from sqlmodel import col

from cloud.records.clocks import LATEST, clock_problems
from cloud.records.database import Database
from cloud.records.keys import Beside, Condition, among, has_key, key_columns, same_key
from cloud.records.rollup_tables import DIMENSIONS, FINAL_ENDS, LINE_ENDS, MINUTE_S, minute_of
from cloud.records.rollup_tally import FIRST, LAST
from cloud.records.rollups import EVERYWHERE, Rollups, RollupScope
from cloud.records.search import (
    COUNT_S,
    MOST_COUNTED,
    FoundInspections,
    PartCount,
    Walk,
    cursor_of,
    position_of,
)
from cloud.records.search import NO_NUL as NO_NUL
from cloud.records.settlement import LINE_DECIDED_BY, contradicts
from cloud.records.tables import (
    COMMON,
    INSPECTIONS,
    UNCOMMON,
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
from shared.clock import Clock, SystemClock
from shared.contracts import Decider, Decision, InspectionKey, Verdict
from shared.inspection import COLUMNS, LARGEST_NUMBER, LINE_COLUMNS

Query: TypeAlias = Select[*tuple[Any, ...]]

ROW = INSPECTIONS.c
UNSURE = (Decision.ESCALATE.value, Decision.REVIEW.value)
DIVERTED = ("reject", "review")
OptionalName = Annotated[str | None, Field(max_length=63, pattern=NO_NUL)]
OptionalPart = Annotated[int | None, Field(ge=0, le=LARGEST_NUMBER)]

OptionalTime = Annotated[float | None, Field(ge=-LATEST, le=LATEST)]


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
    since: OptionalTime = Field(default=None, description="received from then on, UTC seconds")
    until: OptionalTime = Field(default=None, description="received before, UTC seconds")
    reviewed: bool | None = Field(default=None, description="an inspector has labelled it")
    to_review: bool | None = Field(
        default=None, description="it waits for an inspector: in review, or diverted by a deadline"
    )
    doubtful: bool | None = Field(
        default=None, description="the box was not sure, or had no picture"
    )
    kind: str | None = Field(
        default=None,
        max_length=63,
        pattern=NO_NUL,
        description="of defect: what an inspector says, or else the likeliest for the tail",
    )
    score_from: float | None = Field(default=None, description="the head's score or more, 0–1")
    score_to: float | None = Field(default=None, description="the head's score or less, 0–1")
    bundle: str | None = Field(
        default=None, max_length=128, pattern=NO_NUL, description="that the device ran"
    )
    control: bool | None = Field(
        default=None, description="it was drawn at random for a person to look at"
    )

    def among(self) -> list[Condition]:
        """Those of its conditions that an index holds all of, in the order in which they came."""
        return [WAITS_FOR_PERSON] if self.to_review else []

    def conditions(self) -> list[Condition]:
        """Of inspections with what stands beside them: see `joined`."""
        sure = and_(ROW.decision.not_in(UNSURE), LINE_DECIDED_BY != "deadline")
        labelled = col(LabelRecord.device).is_not(None)
        either = (
            (ROW.decision == "escalate", self.escalated),
            (labelled, self.reviewed),
            (and_(WAITS_FOR_PERSON, ~labelled), self.to_review),
            (~sure, self.doubtful),
            (ROW.control != "", self.control),
        )
        kind = func.coalesce(col(LabelRecord.kind), col(TailRecord.kind))
        bounds = (
            (operator.ge, ROW.part, self.part_from),
            (operator.le, ROW.part, self.part_to),
            (operator.ge, ROW.received_at, self.since),
            (operator.lt, ROW.received_at, self.until),
            (operator.ge, ROW.score, self.score_from),
            (operator.le, ROW.score, self.score_to),
            (operator.eq, kind, self.kind),
        )
        values = ((name, wanted) for name, wanted in self if name in ROW and name != "control")
        return [
            *(ROW[name] == wanted for name, wanted in values if wanted is not None),
            *(term for name, term in UNCOMMON.items() if _is_uncommon(name, getattr(self, name))),
            *(holds if wanted else ~holds for holds, wanted in either if wanted is not None),
            *(compare(column, bound) for compare, column, bound in bounds if bound is not None),
        ]


def _is_uncommon(name: str, wanted: str | None) -> bool:
    return wanted is not None and wanted != COMMON[name]


class Records:
    """The reading side of the records. Safe to share between threads."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    def inspections(
        self, wanted: Filter, *, limit: int, cursor: str | None = None
    ) -> InspectionPage:
        """Inspections, the last that came first.

        Raises SettingsError for a cursor that is not ours.
        """
        found = self.search(wanted, limit=limit, cursor=cursor)
        return InspectionPage(inspections=found.inspections, next=found.older)

    def search(
        self, wanted: Filter, *, limit: int, cursor: str | None = None, newer: bool = False
    ) -> FoundInspections:
        """Inspections, the last that came first, before those of the cursor or, with `newer`, after
        them.

        What is rare is looked for by and by, SEARCH_S long: then there are fewer than `limit`, or
        none, and those that follow may still be some. Raises SettingsError for a cursor that is not
        ours.
        """
        place = None if cursor is None else position_of(cursor)
        found: list[RowMapping] = []
        with self._database.begin() as connection:
            walk = Walk(connection, self._clock, place, newer=newer, among=wanted.among())
            for within in walk:
                query = _joined().where(*wanted.conditions(), *within)
                query = query.order_by(*walk.order).limit(limit + 1 - len(found))
                found += connection.execute(query).mappings().all()
                if len(found) > limit:
                    break
        views = [_view(row) for row in found]
        more = cursor_of(views[limit - 1]) if len(views) > limit else walk.rest
        views = views[:limit]
        return FoundInspections.of(views, more, cursor, newer=newer)

    def count(self, wanted: Filter) -> PartCount:
        """How many there are, as far as can be told at once: of what is rare within COUNT_S."""
        known = self._rolled_up(wanted)
        if known is not None:
            return PartCount(known, exact=True)
        total = 0
        with self._database.begin() as connection:
            walk = Walk(connection, self._clock, seconds=COUNT_S, among=wanted.among())
            for within in walk:
                counted = _beside_all(select(func.count())).where(*wanted.conditions(), *within)
                total += connection.execute(counted).scalar_one()
                if total > MOST_COUNTED:
                    return PartCount(MOST_COUNTED, exact=False)
        return PartCount(total, exact=walk.rest is None)

    def _rolled_up(self, wanted: Filter) -> int | None:
        """The count from roll-ups; None where they do not know what is asked for."""
        asked = {name: value for name, value in wanted if value is not None}
        scope = RollupScope(**{name: asked.pop(name, None) for name in DIMENSIONS})
        since, until = asked.pop("since", FIRST), asked.pop("until", LAST)
        verdict, decider = asked.pop("verdict", None), asked.pop("decided_by", None)
        waiting, ends = asked.pop("to_review", False), verdict or decider
        if asked or (waiting and ends):
            return None
        measures = ("waiting",) if waiting else FINAL_ENDS
        totals = Rollups(self._database).totals(scope, since, until, measures=measures)
        if waiting:
            return totals.waiting
        return sum(
            count
            for (who, how), count in totals.final_ends.items()
            if who == (decider or who) and how == (verdict or how)
        )

    def inspection(self, key: InspectionKey) -> InspectionView | None:
        """One inspection, or the escalation whose inspection has not been reported yet."""
        return self.several([key]).get(key)

    def several(self, keys: Collection[InspectionKey]) -> dict[InspectionKey, InspectionView]:
        """The same of each of these that is there."""
        wanted = set(keys)
        views = [_view(row) for row in self._maps(_joined().where(among(INSPECTIONS, wanted)))]
        left = wanted - {view.key for view in views}
        if left:
            views += [
                _view(row) for row in self._maps(_unreported().where(among(TailRecord, left)))
            ]
        return {view.key: view for view in views}

    def pictures(self, key: InspectionKey) -> tuple[bytes, bytes] | None:
        """The defect map and what the tail saw, grey PNG each; None where none are kept."""
        query = select(col(TailRecord.map_png), col(TailRecord.seen_png))
        for found, seen in self._rows(query.where(*has_key(TailRecord, key))):
            if found is not None and seen is not None:
                return found, seen
        return None

    def last_defects(
        self, limit: int, site: str | None = None, line: str | None = None
    ) -> list[InspectionView]:
        """The newest inspections that did not pass, or that the tail would not let pass; without
        those that an inspector has passed.

        site, line   None: of any
        """
        with self._database.begin() as connection:
            found = connection.execute(_defects(limit, site, line)).all()
            # One may be found by its own verdict and by the tail's.
            newest = {InspectionKey(*key): at for *key, at in found}
            keys = sorted(newest, key=lambda key: newest[key], reverse=True)[:limit]
            rows: list[RowMapping] = []
            for query, table in ((_joined(), INSPECTIONS), (_unreported(), TailRecord)):
                rows += connection.execute(query.where(among(table, keys))).mappings().all()
        views = [_view(row) for row in rows]
        return sorted(views, key=lambda view: view.received_at, reverse=True)

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
        rollups = Rollups(self._database)
        totals = [
            Count(decided_by=decider, verdict=verdict, count=count)
            for (decider, verdict), count in rollups.totals(measures=FINAL_ENDS).final_ends.items()
            if count
        ]
        last = minute_of(now)
        first = last - MINUTE_S * (minutes - 1)
        series = rollups.series(EVERYWHERE, first, last + MINUTE_S, measures=LINE_ENDS)
        found = [Minute(at=at, **counted.by_decider) for at, counted in series.items()]
        return InspectionCounts(totals=totals, minutes=found)

    def _rows(self, query: Query) -> Sequence[Any]:
        with self._database.begin() as connection:
            return connection.execute(query).all()

    def _maps(self, query: Query) -> Sequence[RowMapping]:
        with self._database.begin() as connection:
            return connection.execute(query).mappings().all()


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
    return _beside_all(select(*own, ROW.inspected_at.label("at"), late, *_BESIDE))


def _beside_all(query: Query) -> Query:
    return (
        query.select_from(INSPECTIONS)
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


def _defects(limit: int, site: str | None, line: str | None) -> CompoundSelect[*tuple[Any, ...]]:
    """Keys of the last defects and when they came: so many by each verdict that diverts, the
    line's and the tail's, each in the order of an index."""
    row = TailRecord
    came = func.coalesce(ROW.received_at, col(row.received_at))
    # An inspector has the last word.
    stands = or_(ROW.device.is_(None), ROW.decided_by != "inspector")
    beside = select(*key_columns(row), came.label("came")).outerjoin(INSPECTIONS, same_key())
    own = select(*key_columns(INSPECTIONS), ROW.received_at.label("came"))
    queries: list[Query] = []
    for verdict in DIVERTED:
        of_line = (ROW.verdict == verdict, UNCOMMON["verdict"], *_of_place(ROW, site, line))
        queries.append(own.where(*of_line).order_by(ROW.received_at.desc()))
        of_tail = (col(row.verdict) == verdict, stands, *_of_place(row, site, line))
        queries.append(beside.where(*of_tail).order_by(col(row.received_at).desc()))
    return union_all(*(select(query.limit(limit).subquery()) for query in queries))


def _of_place(table: Any, site: str | None, line: str | None) -> list[Condition]:
    named = (("site", site), ("line", line))
    return [getattr(table, name) == wanted for name, wanted in named if wanted is not None]


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
