"""The plant in a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, case, exists, func, select
from sqlmodel import col

from cloud.records.database import Database
from cloud.records.queries import contradicts, same_key
from cloud.records.settlement import LINE_DECIDED_BY
from cloud.records.tables import INSPECTIONS, WAITS_FOR_PERSON, LabelRecord, TailRecord
from cloud.records.views import Summary
from shared.contracts import DECIDERS

RECENT = 1000
Query: TypeAlias = Select[*tuple[Any, ...]]


def summarise(database: Database, *, since: float = 0.0) -> Summary:
    """Totals of what has come here from `since` on, UTC seconds.

    Raises RecordsError where the database can't be read.
    """
    with database.begin() as connection:
        totals = dict(connection.execute(_totals(since)).mappings().one())
        waiting: int = connection.execute(_waiting(since)).scalar_one()
        answers: int = connection.execute(_answers(since)).scalar_one()
        late: int = connection.execute(_contradictions(since)).scalar_one()
        edge, total = _recent_times(connection, since)
        cloud: Sequence[float] = connection.execute(_recent_answers(since)).scalars().all()
    return Summary(
        by_decider={decider: totals.pop(decider) for decider in DECIDERS},
        **totals,
        to_review=waiting,
        tail_results=answers,
        contradicted=late,
        edge_ms_median=_median(edge),
        total_ms_median=_median(total),
        total_ms_p99=_p99(total),
        cloud_ms_median=_median(cloud),
    )


def count_waiting(database: Database) -> int:
    """Parts that wait for a person, however long. Raises RecordsError."""
    with database.begin() as connection:
        waiting: int = connection.execute(_waiting(0.0)).scalar_one()
    return waiting


def _totals(since: float) -> Query:
    row = INSPECTIONS.c
    escalated = row.decision == "escalate"
    columns: list[Any] = [
        func.count().label("inspected"),
        _sum(case((row.verdict == "pass", 1), else_=0)).label("passed"),
        _sum(case((row.verdict == "reject", 1), else_=0)).label("rejected"),
        _sum(case((row.verdict == "review", 1), else_=0)).label("in_review"),
        _sum(case((row.line_verdict.is_not(None), 1), else_=0)).label("settled"),
        _sum(case((escalated, 1), else_=0)).label("escalated"),
        _sum(row.escalated_bytes).label("escalated_bytes"),
        _sum(row.frame_bytes).label("frame_bytes"),
        _sum(case((escalated, row.frame_bytes), else_=0)).label("escalated_frame_bytes"),
        func.min(row.received_at).label("first_at"),
        func.max(row.received_at).label("last_at"),
    ]
    deciders: list[Any] = [
        _sum(case({decider: 1}, value=LINE_DECIDED_BY, else_=0)).label(decider)
        for decider in DECIDERS
    ]
    return select(*columns, *deciders).select_from(INSPECTIONS).where(row.received_at >= since)


def _waiting(since: float) -> Query:
    labelled = exists().where(same_key(LabelRecord))
    unseen = (INSPECTIONS.c.received_at >= since, WAITS_FOR_PERSON, ~labelled)
    return select(func.count()).select_from(INSPECTIONS).where(*unseen)


def _answers(since: float) -> Query:
    return select(func.count()).where(col(TailRecord.received_at) >= since)


def _contradictions(since: float) -> Query:
    return (
        select(func.count())
        .select_from(INSPECTIONS)
        .join(TailRecord, same_key())
        .where(INSPECTIONS.c.received_at >= since, contradicts())
    )


def _recent_times(connection: Connection, since: float) -> tuple[list[float], list[float]]:
    row = INSPECTIONS.c
    query = (
        select(row.edge_ms, row.total_ms)
        .where(row.received_at >= since)
        .order_by(row.received_at.desc())
        .limit(RECENT)
    )
    rows: Sequence[Any] = connection.execute(query).all()
    return [edge for edge, _ in rows], [total for _, total in rows]


def _recent_answers(since: float) -> Query:
    at = col(TailRecord.received_at)
    return select(col(TailRecord.cloud_ms)).where(at >= since).order_by(at.desc()).limit(RECENT)


def _sum(column: Any) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _p99(values: Sequence[float]) -> float | None:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else None
