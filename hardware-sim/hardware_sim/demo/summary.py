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
from hardware_sim.demo.history import BOOT
from shared.certification.promises import Certificate
from shared.features.image_codecs import compress

JPEG_SAMPLE = 100


class VerdictCounts(msgspec.Struct, rename={"passed": "pass"}):
    """Parts by verdict."""

    passed: int = 0
    reject: int = 0
    review: int = 0


class DecidedVerdicts(msgspec.Struct):
    """Parts by who decided."""

    edge: VerdictCounts
    cloud: VerdictCounts
    deadline: VerdictCounts


class DemoPromise(msgspec.Struct):
    """What the bundle's certificate promises of the whole system, as shares that are not exceeded.

    escape        of defective parts that pass
    false_reject  of good parts that are rejected without a person
    confidence    of each, 0–1
    """

    escape: float
    false_reject: float
    confidence: float


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
    reviewed    parts that a person must look at: the verdict is `review`, or a deadline diverted
                them
    escapes     defective parts that passed; overkill, good ones that were rejected without a person
    promise     beside them; None where the bundle has none of this form
    bytes       sent up: per part that came by, and the median per escalation; as JPEG of
                quality 80 each part's picture would have been jpeg_bytes_per_part
    """

    parts: int
    lost: int
    duplicates: int
    verdicts: DecidedVerdicts
    reviewed: int
    escapes: int
    overkill: int
    defects: int
    escalation_rate: float
    bytes_per_part: float
    bytes_per_escalation_p50: float | None
    jpeg_bytes_per_part: float
    latency_ms: Latency
    seconds: float
    promise: DemoPromise | None = None


def promised(certificate: Certificate | None) -> DemoPromise | None:
    """Both promises of a certificate of the whole system; None for one of another form."""
    if certificate is None or certificate.escape is None or certificate.false_reject is None:
        return None
    return DemoPromise(certificate.escape, certificate.false_reject, 1 - certificate.delta)


def summarise(
    database: str,
    lanes: Sequence[Lane],
    expected: Mapping[str, int],
    seconds: float,
    promise: DemoPromise | None = None,
) -> DemoSummary:
    """Count what the cloud recorded of the demo itself.

    expected   parts that came by, a device
    promise    of the bundle that they were judged with
    """
    with Database(database).begin() as connection:
        rows = connection.execute(select(INSPECTIONS).where(INSPECTIONS.c.boot != BOOT)).all()
    lane_of = {lane.device: lane for lane in lanes}
    seen = Counter((row.device, row.part) for row in rows)
    counts = Counter(map(_line_said, rows))
    sent = [row.escalated_bytes for row in rows if row.escalated_bytes]
    wrong = Counter(
        (_end(row), lane_of[row.device].cell(row.part).defective)
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
                who: VerdictCounts(
                    counts[who, "pass"], counts[who, "reject"], counts[who, "review"]
                )
                for who in ("edge", "cloud", "deadline")
            }
        ),
        reviewed=sum(_end(row) == "review" for row in rows),
        escapes=wrong["pass", True],
        overkill=wrong["reject", False],
        defects=sum(count for (_, defective), count in wrong.items() if defective),
        escalation_rate=len(sent) / max(1, len(rows)),
        bytes_per_part=sum(sent) / max(1, len(rows)),
        bytes_per_escalation_p50=float(np.median(sent)) if sent else None,
        jpeg_bytes_per_part=_jpeg_bytes(sorted(shown)),
        latency_ms=Latency(*_percentiles(rows, "edge"), *_percentiles(rows, "cloud")),
        seconds=round(seconds, 2),
        promise=promise,
    )


def _line_said(row: Row[Any]) -> tuple[str, str]:
    """Who decided what the line did, and what: an inspector may have settled it since."""
    return row.line_decided_by or row.decided_by, row.line_verdict or row.verdict


def _end(row: Row[Any]) -> str:
    """Where the line left the part: passed, rejected, or for a person to look at."""
    decided_by, verdict = _line_said(row)
    return "review" if decided_by == "deadline" else verdict


def _percentiles(rows: Sequence[Row[Any]], who: str) -> tuple[float | None, float | None]:
    times = [row.total_ms for row in rows if _line_said(row)[0] == who]
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
