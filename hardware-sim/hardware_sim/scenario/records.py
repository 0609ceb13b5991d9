"""What the cloud has of a run, to be held against what passed the ejectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select

from cloud.records.database import Database
from cloud.records.tables import INSPECTIONS
from hardware_sim.scenario.station import PassedPart


@dataclass(frozen=True, slots=True)
class RecordedParts:
    """What the cloud's records say.

    lost            parts of which the ejector heard a verdict and the cloud has no record
    duplicates      parts that it has more than once
    decided_by      parts by who decided what the line did
    settled         parts whose verdict is an inspector's
    latency_ms      trigger to verdict, of every part that edge or cloud decided
    by_part         the same by device and part, of every part whoever decided
    """

    inspected: int
    lost: int
    duplicates: int
    decided_by: dict[str, int]
    settled: int
    latency_ms: list[float]
    by_part: dict[tuple[str, int], float]

    @property
    def p99_latency_ms(self) -> float | None:
        return float(np.percentile(self.latency_ms, 99)) if self.latency_ms else None


def kept(database: str, passed: Mapping[str, Sequence[PassedPart]]) -> RecordedParts:
    """Read a run's records, once the cloud has ended."""
    opened = Database(database)
    try:
        with opened.begin() as connection:
            rows = connection.execute(select(INSPECTIONS)).all()
    finally:
        opened.close()
    stored = Counter((row.device, row.part) for row in rows)
    heard = {(name, one.part) for name, parts in passed.items() for one in parts if one.verdict}
    return RecordedParts(
        inspected=len(stored),
        lost=len(heard - stored.keys()),
        duplicates=sum(count - 1 for count in stored.values()),
        decided_by=dict(Counter(row.line_decided_by or row.decided_by for row in rows)),
        settled=sum(row.line_decided_by is not None for row in rows),
        latency_ms=[
            row.total_ms for row in rows if "deadline" not in {row.line_decided_by, row.decided_by}
        ],
        by_part={(row.device, row.part): row.total_ms for row in rows},
    )
