"""What becomes of a record when an inspector has looked: the label settles what waited for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Update,
    and_,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlmodel import col

from cloud.records.keys import bound, given, key_columns
from cloud.records.tables import INSPECTIONS, WAITS_FOR_PERSON, LabelRecord, TailRecord
from shared.contracts import InspectionKey
from shared.storage.batches import execute_rows

ROW = INSPECTIONS.c

# What the line did and who decided that, whatever an inspector said since.
LINE_VERDICT: ColumnElement[str] = func.coalesce(ROW.line_verdict, ROW.verdict)
LINE_DECIDED_BY: ColumnElement[str] = func.coalesce(ROW.line_decided_by, ROW.decided_by)


def contradicts() -> ColumnElement[bool]:
    """A tail result that would have done otherwise to the part: a reject and a review divert it."""
    otherwise = (col(TailRecord.verdict) == "pass") != (LINE_VERDICT == "pass")
    # What was drawn as a control was diverted whatever the tail said.
    return and_(otherwise, ROW.control.not_in(("pass", "reject")))


def may_wait(inspection: Mapping[str, Any]) -> bool:
    """Whether a reported inspection may need `restore_reviews` or `settle`."""
    diverted = (inspection["verdict"], inspection["decided_by"])
    taken_back = diverted == _BY_EDGE and inspection["decision"] == "escalate"
    waits = inspection["verdict"] == "review" or inspection["decided_by"] == "deadline"
    return waits or diverted == _OLD or taken_back


def restore_reviews(connection: Connection, keys: Iterable[InspectionKey]) -> bool:
    """A device that knows no review diverted these parts as told, and reported rejects.

    Whether one of them was such a part."""
    restored = _each(connection, _RESTORED, keys)
    # No edge rejects what its gate escalates: an agent that was taken back sends what a newer one
    # gave to review in the words that it knows.
    return _each(connection, _TAKEN_BACK, keys) or restored


def settle(connection: Connection, keys: Iterable[InspectionKey]) -> bool:
    """Inspections that wait for a person and have a label get its verdict, as has one that an
    earlier label settled. What had gone as edge or cloud said stays as it is.

    Whether there was one."""
    return _each(connection, _SETTLED, keys)


def unsettle(connection: Connection, keys: Iterable[InspectionKey]) -> None:
    """Inspections whose label was taken back wait again, as the line left them."""
    _each(connection, _UNSETTLED, keys)


def _same_key(table: type[TailRecord | LabelRecord]) -> list[ColumnElement[bool]]:
    return [getattr(table, name) == ROW[name] for name in InspectionKey._fields]


def _each(connection: Connection, statement: Update, keys: Iterable[InspectionKey]) -> bool:
    """Whether it changed anything."""
    # One by one, which takes the primary key: of a list of keys SQLite makes a scan. And in one
    # order, so that two workers can't block each other.
    rows = [given(key) for key in sorted({*keys})]
    # A driver that does not know how many says -1.
    return bool(rows) and execute_rows(connection, statement, rows) != 0


_ONE = bound(key_columns(INSPECTIONS))
_OLD = ("reject", "cloud")
_BY_EDGE = ("reject", "edge")


# Made once: each batch of inspections runs all three.


def _restored() -> Update:
    verdict, decided_by = _OLD
    reviewed = exists().where(*_same_key(TailRecord), col(TailRecord.verdict) == "review")
    diverted = (ROW.verdict == verdict, ROW.decided_by == decided_by)
    return update(INSPECTIONS).where(*_ONE, *diverted, reviewed).values(verdict="review")


def _taken_back() -> Update:
    verdict, decided_by = _BY_EDGE
    rejected = (ROW.verdict == verdict, ROW.decided_by == decided_by, ROW.decision == "escalate")
    return update(INSPECTIONS).where(*_ONE, *rejected).values(verdict="review")


def _settled() -> Update:
    said = select(col(LabelRecord.verdict)).where(*_same_key(LabelRecord))
    waits = or_(WAITS_FOR_PERSON, ROW.line_verdict.is_not(None))
    return (
        update(INSPECTIONS)
        .where(*_ONE, waits, said.exists())
        .values(
            verdict=said.scalar_subquery(),
            decided_by="inspector",
            line_verdict=LINE_VERDICT,
            line_decided_by=LINE_DECIDED_BY,
        )
    )


def _unsettled() -> Update:
    labelled = exists().where(*_same_key(LabelRecord))
    return (
        update(INSPECTIONS)
        .where(*_ONE, ROW.line_verdict.is_not(None), ~labelled)
        .values(
            verdict=ROW.line_verdict,
            decided_by=ROW.line_decided_by,
            line_verdict=None,
            line_decided_by=None,
        )
    )


_RESTORED, _TAKEN_BACK, _SETTLED = _restored(), _taken_back(), _settled()
_UNSETTLED = _unsettled()
