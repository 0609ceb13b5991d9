"""Counts of closed minutes, hours and days, and which minutes are to be counted anew."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Integer,
    String,
    Table,
    func,
    insert,
    select,
)
from sqlmodel import SQLModel

from cloud.records.keys import bound, given, key_columns
from cloud.records.tables import INSPECTIONS
from shared.contracts import DECIDERS, VERDICTS, InspectionKey
from shared.storage.batches import execute_rows

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
STEPS = (MINUTE_S, HOUR_S, DAY_S)

# Latency in milliseconds up to which a part counts into a bucket; what took longer is the last.
LATENCY_MS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000)
# The head's score in twentieths; a part whose score is not known is in none.
SCORE_BINS = 20

DIMENSIONS = ("site", "line", "device", "lot", "recipe", "bundle")
ENDS = [(decider, verdict) for decider in DECIDERS for verdict in VERDICTS]
LINE_ENDS = [f"line_{decider}_{verdict}" for decider, verdict in ENDS]
FINAL_ENDS = [f"final_{decider}_{verdict}" for decider, verdict in ENDS]
LATENCIES = [f"latency_{place}" for place in range(len(LATENCY_MS) + 1)]
SCORES = [f"scores_{place}" for place in range(SCORE_BINS)]
COUNTS = (
    "inspected",
    "settled",
    "waiting",
    "escalated",
    "contradicted",
    "answers",
    "labelled",
    "escapes",
    "overkills",
    "tail_results",
)
BYTES = ("escalated_bytes", "frame_bytes", "escalated_frame_bytes")
TIMES = ("edge_ms", "total_ms", "cloud_ms")
ENDPOINTS = ("first_at", "last_at")
MEASURES = (
    *COUNTS,
    *BYTES,
    *TIMES,
    *ENDPOINTS,
    *LINE_ENDS,
    *FINAL_ENDS,
    *LATENCIES,
    *SCORES,
)

_LONGEST = {"lot": 64, "recipe": 64, "bundle": 128}


def _measure(name: str) -> Column[Any]:
    if name in ENDPOINTS:
        return Column(name, Float(), nullable=True)
    kind = Float() if name in TIMES else BigInteger() if name in BYTES else Integer()
    return Column(name, kind, nullable=False)


# `step` seconds from `at` on, UTC seconds since 1970; see `cloud.records.rollup_tally` for what
# each of the others counts.
ROLLUPS = Table(
    "rollups",
    SQLModel.metadata,
    Column("step", Integer(), primary_key=True),
    Column("at", BigInteger(), primary_key=True),
    *(Column(name, String(_LONGEST.get(name, 63)), primary_key=True) for name in DIMENSIONS),
    *map(_measure, MEASURES),
)

# A minute whose count may be another one since; one row for each transaction that says so, so that
# none of them waits for another.
ROLLUP_MARKS = Table(
    "rollup_marks",
    SQLModel.metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("minute", BigInteger(), nullable=False),
)

# One row: all minutes in [since, until), UTC seconds, are rolled up, but for those with a mark;
# `holder` counts until `held_until`, by the database's clock.
ROLLUP_STATE = Table(
    "rollup_state",
    SQLModel.metadata,
    Column("id", Integer(), primary_key=True),
    Column("since", BigInteger(), nullable=False),
    Column("until", BigInteger(), nullable=False),
    Column("holder", String(63), nullable=False),
    Column("held_until", Float(), nullable=False),
)

# Inspections of a site that came before then, UTC seconds, whole minutes, may be gone.
PRUNED = Table(
    "pruned",
    SQLModel.metadata,
    Column("site", String(63), primary_key=True),
    Column("before", Float(), nullable=False),
)

_MARK_OF = insert(ROLLUP_MARKS).from_select(
    ["minute"],
    select(func.floor(INSPECTIONS.c.received_at / MINUTE_S) * MINUTE_S).where(
        *bound(key_columns(INSPECTIONS))
    ),
)
_MARK = insert(ROLLUP_MARKS)


def minute_of(at: float) -> int:
    """The start of the minute in which `at` lies, UTC seconds."""
    return math.floor(at / MINUTE_S) * MINUTE_S


def mark_times(connection: Connection, times: Iterable[float]) -> None:
    """Count the minutes of these times anew once this transaction is stored."""
    minutes = {minute_of(at) for at in times}
    if minutes:
        execute_rows(connection, _MARK, [{"minute": minute} for minute in sorted(minutes)])


def mark_inspections(connection: Connection, keys: Iterable[InspectionKey]) -> None:
    """Count anew the minutes of those of these inspections that are there."""
    rows = [given(key) for key in keys]
    if rows:
        execute_rows(connection, _MARK_OF, rows)
