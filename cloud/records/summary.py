"""The plant in a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, select
from sqlmodel import col

from cloud.records.database import Database
from cloud.records.rollup_tables import BYTES, COUNTS, ENDPOINTS, FINAL_ENDS, LINE_ENDS
from cloud.records.rollup_tally import FIRST
from cloud.records.rollups import Rollups
from cloud.records.tables import INSPECTIONS, TailRecord
from cloud.records.views import Summary

RECENT = 1000
SUMMED = (*COUNTS, *BYTES, *ENDPOINTS, *LINE_ENDS, *FINAL_ENDS)
Query: TypeAlias = Select[*tuple[Any, ...]]


def summarise(database: Database, *, since: float = FIRST) -> Summary:
    """Totals of what has come here from `since` on, UTC seconds.

    Raises RecordsError where the database can't be read.
    """
    totals = Rollups(database).totals(since=since, measures=SUMMED)
    with database.begin() as connection:
        edge, total = _recent_times(connection, since)
        cloud: Sequence[float] = connection.execute(_recent_answers(since)).scalars().all()
    return Summary(
        inspected=totals.inspected,
        passed=totals.verdicts["pass"],
        rejected=totals.verdicts["reject"],
        in_review=totals.verdicts["review"],
        to_review=totals.waiting,
        settled=totals.settled,
        escalated=totals.escalated,
        by_decider=totals.by_decider,
        escalated_bytes=totals.escalated_bytes,
        frame_bytes=totals.frame_bytes,
        escalated_frame_bytes=totals.escalated_frame_bytes,
        tail_results=totals.tail_results,
        contradicted=totals.contradicted,
        first_at=totals.first_at,
        last_at=totals.last_at,
        edge_ms_median=_median(edge),
        total_ms_median=_median(total),
        total_ms_p99=_p99(total),
        cloud_ms_median=_median(cloud),
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


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _p99(values: Sequence[float]) -> float | None:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else None
