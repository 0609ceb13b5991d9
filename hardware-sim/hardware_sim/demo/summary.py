"""What a demo or a scenario came to, from the cloud's records and the known labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from sqlalchemy import Row, select

from cloud.records.database import Database
from cloud.records.tables import INSPECTIONS
from hardware_sim.demo.cells import Lane
from shared.features.image_codecs import compress

JPEG_SAMPLE = 100


class VerdictCounts(msgspec.Struct, rename={"passed": "pass"}):
    """Parts by verdict."""

    passed: int = 0
    reject: int = 0


class DecidedVerdicts(msgspec.Struct):
    """Parts by who decided."""

    edge: VerdictCounts
    cloud: VerdictCounts
    deadline: VerdictCounts


class Latency(msgspec.Struct):
    """Trigger to verdict, milliseconds, for parts decided at the edge and by the cloud."""

    edge_p50: float | None
    edge_p99: float | None
    cloud_p50: float | None
    cloud_p99: float | None


class DemoSummary(msgspec.Struct):
    """The report of `splitsight demo`.

    lost        parts that came by and have no record in the cloud
    duplicates  parts that were recorded more than once
    escapes     defective parts that passed; overkill, good ones that were rejected
    bytes       sent up: per part that came by, and the median per escalation; as JPEG of
                quality 80 each part's picture would have been jpeg_bytes_per_part
    """

    parts: int
    lost: int
    duplicates: int
    verdicts: DecidedVerdicts
    escapes: int
    overkill: int
    defects: int
    escalation_rate: float
    bytes_per_part: float
    bytes_per_escalation_p50: float | None
    jpeg_bytes_per_part: float
    latency_ms: Latency
    seconds: float


def summarise(
    database: str, lanes: Sequence[Lane], expected: Mapping[str, int], seconds: float
) -> DemoSummary:
    """Count what the cloud recorded.

    expected   parts that came by, a device
    """
    with Database(database).begin() as connection:
        rows = connection.execute(select(INSPECTIONS)).all()
    lane_of = {lane.device: lane for lane in lanes}
    seen = Counter((row.device, row.part) for row in rows)
    counts = Counter((row.decided_by, row.verdict) for row in rows)
    sent = [row.escalated_bytes for row in rows if row.escalated_bytes]
    wrong = Counter(
        (row.verdict, lane_of[row.device].cell(row.part).defective)
        for row in rows
        if row.device in lane_of
    )
    shown = {lane_of[device].cell(part).image for device, part in seen if device in lane_of}
    return DemoSummary(
        parts=len(seen),
        lost=sum(expected.values()) - len(seen),
        duplicates=len(rows) - len(seen),
        verdicts=DecidedVerdicts(
            **{
                who: VerdictCounts(counts[who, "pass"], counts[who, "reject"])
                for who in ("edge", "cloud", "deadline")
            }
        ),
        escapes=wrong["pass", True],
        overkill=wrong["reject", False],
        defects=wrong["pass", True] + wrong["reject", True],
        escalation_rate=len(sent) / max(1, len(rows)),
        bytes_per_part=sum(sent) / max(1, len(rows)),
        bytes_per_escalation_p50=float(np.median(sent)) if sent else None,
        jpeg_bytes_per_part=_jpeg_bytes(sorted(shown)),
        latency_ms=Latency(*_percentiles(rows, "edge"), *_percentiles(rows, "cloud")),
        seconds=round(seconds, 2),
    )


def _percentiles(rows: Sequence[Row[Any]], who: str) -> tuple[float | None, float | None]:
    times = [row.total_ms for row in rows if row.decided_by == who]
    if not times:
        return None, None
    p50, p99 = np.percentile(times, [50, 99])
    return round(float(p50), 2), round(float(p99), 2)


def _jpeg_bytes(images: Sequence[Path]) -> float:
    """The mean size of pictures as JPEG, over an even sample of them."""
    step = max(1, len(images) // JPEG_SAMPLE)
    sizes = []
    for path in images[::step]:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if picture is not None:
            sizes.append(len(compress(np.asarray(picture, np.uint8))))
    return float(np.mean(sizes)) if sizes else 0.0
