"""What the cloud has recorded of a fleet, and what recording costs it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import func, select

from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.records.tables import INSPECTIONS, InspectionRow, inspection_row
from shared.contracts import Decision
from shared.inspection import Inspection
from shared.topics import Address

COMMITS = 30
ROWS = 50


class Recorded(NamedTuple):
    """Parts without a record, and records above one a part."""

    lost: int
    duplicates: int


class WritingCost(NamedTuple):
    """See `report.Parts`."""

    commit_ms: float
    commit_cpu_ms: float
    row_ms: float
    row_bytes: float


def count(database: str, inspected: Mapping[str, int]) -> Recorded:
    """Compare the records with what came by, `inspected` parts a device.

    Raises RecordsError where the database can't be read.
    """
    row = INSPECTIONS.c
    query = select(row.device, func.count(), func.count(func.distinct(row.part))).group_by(
        row.device
    )
    opened = Database(database)
    try:
        with opened.begin() as connection:
            counted: Sequence[Any] = connection.execute(query).all()
            found = {device: (rows, parts) for device, rows, parts in counted}
    finally:
        opened.close()
    stored = {device: found.get(device, (0, 0))[1] for device in inspected}
    return Recorded(
        lost=sum(max(0, parts - stored[device]) for device, parts in inspected.items()),
        duplicates=sum(rows - parts for rows, parts in found.values()),
    )


def writing_cost(folder: Path) -> WritingCost:
    """Write inspections into a fresh SQLite file as the cloud does, one and many a commit."""
    path = folder / "writing.db"
    database = Database(f"sqlite:///{path}")
    try:
        database.migrate()
        store = RecordStore(database)
        _timed(store, "first", 1)
        single = np.median([_timed(store, f"one-{n}", 1) for n in range(COMMITS)], axis=0)
        many = np.median([_timed(store, f"many-{n}", ROWS) for n in range(COMMITS)], axis=0)
    finally:
        database.close()
    rows = 1 + COMMITS * (1 + ROWS)
    # By the processor's time: what the disk takes does not depend on so few bytes.
    row_ms = max(0.0, float(many[1] - single[1])) / (ROWS - 1)
    return WritingCost(float(single[0]), float(single[1]), row_ms, path.stat().st_size / rows)


def _timed(store: RecordStore, boot: str, rows: int) -> tuple[float, float]:
    """Milliseconds of one commit, by the clock and by this thread's processor time."""
    records = [_record(boot, sequence) for sequence in range(1, rows + 1)]
    started, worked = time.perf_counter(), time.thread_time()
    store.save(records)
    return (time.perf_counter() - started) * 1000, (time.thread_time() - worked) * 1000


def _record(boot: str, sequence: int) -> InspectionRow:
    inspection = Inspection(
        boot=boot,
        sequence=sequence,
        part=sequence,
        decision=Decision.PASS,
        verdict="pass",
        decided_by="edge",
        score=0.1,
        inspected_at=1_800_000_000.0,
        edge_ms=1.0,
        total_ms=2.0,
        source="recorded",
        bundle="0" * 16,
    )
    return inspection_row(Address("fleet", "light", "light-00000"), inspection, 1_800_000_000.0)
