"""Parts that inspectors have labelled, from the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sqlalchemy import RowMapping, Select, func, select
from sqlmodel import col

from cloud.records.database import Database
from cloud.records.keys import same_key
from cloud.records.queries import Filter
from cloud.records.tables import DRAWN, INSPECTIONS, LabelRecord, TailRecord
from cloud.thresholds.parts import KnownParts
from shared.certification.scores import NovelPictures
from shared.inspection import NOVELTY_FIELD

MOST = 2_000
"""So many are read in a tenth of a second, however many there are."""
Drawn = Literal["controls", "labelled"]
ROW = INSPECTIONS.c


@dataclass(frozen=True, slots=True)
class FoundParts:
    """What was found.

    newest   whether there may be more, of which these are what was labelled or drawn last
    """

    parts: KnownParts
    newest: bool


def labelled_parts(
    database: Database, bundle: str, wanted: Filter, drawn: Drawn, most: int = MOST
) -> FoundParts:
    """Labelled parts that this bundle decided.

    drawn    `controls`: those that were drawn at random before anybody looked; `labelled`: of the
             last `most` labels, whoever chose the parts
    Raises RecordsError.
    """
    query = _controls(bundle, wanted, most) if drawn == "controls" else _last(bundle, wanted, most)
    with database.begin() as connection:
        rows = connection.execute(query).mappings().all()
        scanned = len(rows)
        if drawn == "labelled":
            last = select(func.count()).select_from(_labels(most).subquery())
            scanned = connection.execute(last).scalar_one()
    return FoundParts(parts_of(rows), scanned >= most)


def parts_of(rows: Sequence[RowMapping | dict[str, Any]]) -> KnownParts:
    """Pictures of one part belong together: what one start of a box numbers alike."""
    if not rows:
        return KnownParts.none()
    keys = [(row["device"], row["boot"], row["part"]) for row in rows]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    part = np.array([places[key] for key in keys], np.intp)
    defective = np.zeros(len(places), bool)
    defective[part[[row["label"] == "reject" for row in rows]]] = True
    cloud = np.array([_number(row["tail_score"]) for row in rows])
    novel = np.array([_novelty(row["fields"]) > 1 for row in rows], bool)
    return KnownParts(
        part=part,
        defective=defective,
        edge=np.array([_number(row["score"]) for row in rows]),
        cloud=cloud,
        asked=np.array([row["answered"] is not None for row in rows], bool),
        encoded=np.array([row["escalated_bytes"] or 0 for row in rows], np.int64),
        novel=NovelPictures(novel, novel),
    )


_COLUMNS: tuple[Any, ...] = (
    ROW.device,
    ROW.boot,
    ROW.part,
    ROW.score,
    ROW.fields,
    ROW.escalated_bytes,
    col(TailRecord.score).label("tail_score"),
    col(TailRecord.verdict).label("answered"),
)


def _controls(bundle: str, wanted: Filter, most: int) -> Select[Any]:
    label = LabelRecord
    return (
        select(*_COLUMNS, col(label.verdict).label("label"))
        .select_from(INSPECTIONS)
        .join(label, same_key(label))
        .outerjoin(TailRecord, same_key())
        .where(DRAWN, ROW.bundle == bundle, *wanted.conditions())
        .order_by(ROW.received_at.desc())
        .limit(most)
    )


def _labels(most: int) -> Select[Any]:
    label = LabelRecord
    columns: tuple[Any, ...] = (
        col(label.device),
        col(label.boot),
        col(label.sequence),
        col(label.verdict).label("label"),
    )
    return select(*columns).order_by(col(label.reviewed_at).desc()).limit(most)


def _last(bundle: str, wanted: Filter, most: int) -> Select[Any]:
    last = _labels(most).subquery()
    same = (last.c.device == ROW.device, last.c.boot == ROW.boot)
    return (
        select(*_COLUMNS, last.c.label)
        .select_from(last)
        .join(INSPECTIONS, (same[0]) & (same[1]) & (last.c.sequence == ROW.sequence))
        .outerjoin(TailRecord, same_key())
        .where(ROW.bundle == bundle, *wanted.conditions())
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _novelty(fields: dict[str, Any] | None) -> float:
    value = (fields or {}).get(NOVELTY_FIELD, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0
