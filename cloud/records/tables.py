"""What the cloud remembers. Times are UTC seconds since 1970; scores are 0–1, None for NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    literal_column,
    or_,
    text,
)
from sqlmodel import Field, SQLModel

from cloud.records.clocks import shown_time
from shared.errors import WireError
from shared.inspection import (
    COLUMNS,
    LARGEST_SIZE,
    LINE_COLUMNS,
    Inspection,
    InspectionColumn,
    storable_fields,
    storable_text,
)
from shared.topics import Address

# What is stored travels as plain rows of all columns: with a thousand devices, objects cost more
# than what they are stored with.
InspectionRow: TypeAlias = Mapping[str, Any]
TailRow: TypeAlias = Mapping[str, Any]
StateRow: TypeAlias = Mapping[str, Any]

# Word for word, since SQLite takes the index of a part of a table only where a query says the same.
DRAWN = text("control <> ''")

# What most inspections say, which no index holds: there is always one of them near.
COMMON = {"verdict": "pass", "decided_by": "edge", **{one.name: "" for one in LINE_COLUMNS}}


def _column(one: InspectionColumn) -> Column[Any]:
    kind: Any = {str: String(one.stored.longest), float: Float(), dict: JSON()}.get(one.kind)
    if kind is None:
        kind = Integer() if one.stored.largest <= LARGEST_SIZE else BigInteger()
    return Column(
        one.name, kind, nullable=one.stored.unknown, primary_key=one.name in {"boot", "sequence"}
    )


# Decided inspections as devices reported them, until an inspector settles one: then `verdict` and
# `decided_by` are the inspector's, `line_verdict` and `line_decided_by` what the device reported.
# `received_at`: when it first came here, by the cloud's clock; order and counts go by it, since a
# box's clock may say anything. `inspected_at` is what the box said.
INSPECTIONS = Table(
    "inspections",
    SQLModel.metadata,
    Column("device", String(63), primary_key=True),
    *map(_column, COLUMNS),
    Column("site", String(63), nullable=False),
    Column("line", String(63), nullable=False),
    Column("received_at", Float(), nullable=False),
    Column("line_verdict", String(16)),
    Column("line_decided_by", String(16)),
    Index("ix_inspections_received_at", "received_at"),
    *(Index(f"ix_inspections_{one}", one, "received_at") for one in ("device", "line", "bundle")),
    Index("ix_inspections_part", "part"),
    Index("ix_inspections_control", "bundle", sqlite_where=DRAWN, postgresql_where=DRAWN),
)


# The words stand in the statement itself, since only then it may be answered from the index.
UNCOMMON = {
    name: INSPECTIONS.c[name] != literal_column(f"'{value}'") for name, value in COMMON.items()
}
for name, uncommon in UNCOMMON.items():
    Index(
        f"ix_inspections_{name}",
        INSPECTIONS.c[name],
        INSPECTIONS.c.received_at,
        sqlite_where=uncommon,
        postgresql_where=uncommon,
    )

# A person shall look: the part lies in the bin for it, or was diverted since nobody answered. The
# words stand in the statement itself, so that it may be answered from the index.
WAITS_FOR_PERSON = or_(
    INSPECTIONS.c.verdict == literal_column("'review'"),
    INSPECTIONS.c.decided_by == literal_column("'deadline'"),
)
# What a reviewer chooses by is in the index too: of many that wait, no other page is read.
_CHOSEN_BY = [
    INSPECTIONS.c[name]
    for name in (
        "received_at",
        *("site", "line", "device", "verdict", "decided_by", "boot", "sequence"),
    )
]
Index(
    "ix_inspections_waiting",
    *_CHOSEN_BY,
    sqlite_where=WAITS_FOR_PERSON,
    postgresql_where=WAITS_FOR_PERSON,
)

# Each SAMPLE_EVERY-th of a boot, whatever the system made of it, is a person's to look at.
SAMPLE_EVERY = 500
SAMPLED = text(f"sequence = sequence / {SAMPLE_EVERY} * {SAMPLE_EVERY}")
Index("ix_inspections_sampled", *_CHOSEN_BY, sqlite_where=SAMPLED, postgresql_where=SAMPLED)


# Filters that somebody has given a name; see `cloud.records.saved_views`.
SAVED_VIEWS = Table(
    "saved_views",
    SQLModel.metadata,
    Column("account", String(63), primary_key=True),
    Column("page", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("query", String(2000), nullable=False),
)


def inspection_row(address: Address, one: Inspection, received_at: float) -> InspectionRow:
    """A decided inspection for INSPECTIONS. Raises WireError where it can't be kept."""
    told = {column.name: getattr(one, column.name) for column in COLUMNS}
    told["inspected_at"] = shown_time(one.inspected_at, received_at)
    own = {column.name: _storable(column, told[column.name]) for column in COLUMNS}
    return {**own, **asdict(address), "received_at": received_at}


def _storable(column: InspectionColumn, value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value, column.stored.longest)
    if isinstance(value, dict):
        return storable_fields(value)
    if isinstance(value, float) and (math.isfinite(value) or column.stored.unknown):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and 0 <= value <= column.stored.largest:
        return value
    raise WireError(
        f"an inspection with {column.name} {value} came",
        fix="update the older side; until then the device keeps it",
    )


class TailRecord(SQLModel, table=True):
    """What the tail made of one escalation. It may be there before the inspection, or without it.

    cloud_ms          arrival to answer, milliseconds
    batch             parts that ran together
    map_png           the defect map, 8-bit grey PNG, 255 = surely defective; None when cleared
    seen_png          what the tail saw: mean absolute symbol over channels, 8-bit grey PNG
    verdict           `review` too, where the device is told to divert
    kind              the likeliest kind of defect of a rejected part, None where none is known
    kind_probability  that it is of this kind, given that it is defective, 0–1
    coarseness        how coarsely its features were sent, 1 for as finely as can be
    queue_ms          arrival until its batch began, milliseconds; None in older rows
    tail_ms           that its batch took in the tail, milliseconds; None in older rows
    """

    __tablename__ = "tail_results"
    __table_args__ = (
        Index("ix_tail_results_received_at", "received_at"),
        Index("ix_tail_results_verdict", "verdict", "received_at"),
    )

    device: str = Field(primary_key=True, max_length=63)
    boot: str = Field(primary_key=True, max_length=64)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    site: str = Field(max_length=63)
    line: str = Field(max_length=63)
    part: int = Field(sa_type=BigInteger)
    pair: str = Field(max_length=64)
    score: float | None
    verdict: str = Field(max_length=16)
    cloud_ms: float
    batch: int
    map_png: bytes | None
    seen_png: bytes | None
    received_at: float
    kind: str | None = None
    kind_probability: float | None = None
    coarseness: int = 1
    queue_ms: float | None = None
    tail_ms: float | None = None


class LabelRecord(SQLModel, table=True):
    """The label of an inspected part that stands; what else was said is in `cloud.labels`.

    It settles a part that waited for it; see `cloud.records.settlement`.

    verdict       what the part should have been given
    kind          of defect, None where it is good or not known
    reviewed_at   since when it stands: a device takes the later of two
    delivered_at  when the device confirmed that it has the label, None while it has not
    has_picture   whether it still had the picture then
    drawing       where the defect is, a mask as `cloud.labels.drawing` makes it; None: not drawn
    """

    __tablename__ = "reviews"
    __table_args__ = (
        Index("ix_reviews_delivered_at", "delivered_at"),
        Index("ix_reviews_reviewed_at", "reviewed_at"),
    )

    device: str = Field(primary_key=True, max_length=63)
    boot: str = Field(primary_key=True, max_length=64)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    verdict: str = Field(max_length=16)
    kind: str | None = Field(default=None, max_length=63)
    inspector: str = Field(max_length=63)
    reviewed_at: float
    delivered_at: float | None = None
    has_picture: bool | None = None
    drawing: bytes | None = Field(default=None, sa_type=LargeBinary)


class PictureRequestRecord(SQLModel, table=True):
    """Somebody wants to see a picture whose box was away; see `cloud.pictures.store`. The picture
    itself is kept nowhere here.

    who   the account, or what stands for one
    """

    __tablename__ = "picture_requests"
    __table_args__ = (Index("ix_picture_requests_asked_at", "asked_at"),)

    device: str = Field(primary_key=True, max_length=63)
    boot: str = Field(primary_key=True, max_length=64)
    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    who: str = Field(primary_key=True, max_length=100)
    what: str = Field(max_length=16)
    reason: str = Field(max_length=200)
    asked_at: float


class WorkerRecord(SQLModel, table=True):
    """A process of the cloud that takes escalations; see `cloud.records.workers`.

    pairs    whose escalations it can answer, a space between
    seen_at  when it said so, by the database's clock
    """

    __tablename__ = "workers"

    worker: str = Field(primary_key=True, max_length=63)
    name: str = Field(max_length=255)
    connected: bool
    pairs: str
    seen_at: float


class SharedGroupRecord(SQLModel, table=True):
    """One row: the name of the shared subscriptions of all workers on this database."""

    __tablename__ = "shared_groups"

    id: int = Field(primary_key=True)
    name: str = Field(max_length=63)


class DeviceRecord(SQLModel, table=True):
    """A device's last state; see `shared.wire.StateMessage`.

    at           when the device said so, by its own clock
    seen_at      when the cloud heard it last
    beat_s       the device speaks that often even when nothing changes; 0: it is older than that
    clock_off_s  seconds by which its clock is ahead of the cloud's; None: nothing was heard live
    problems     one a line
    """

    __tablename__ = "devices"

    site: str = Field(primary_key=True, max_length=63)
    line: str = Field(primary_key=True, max_length=63)
    device: str = Field(primary_key=True, max_length=63)
    state: str = Field(max_length=16)
    boot: str = Field(max_length=64)
    at: float
    seen_at: float
    bundle: str = Field(max_length=128)
    runtime: str = Field(max_length=128)
    camera: str = Field(max_length=256)
    inspected: int = Field(sa_type=BigInteger)
    waiting: int = Field(sa_type=BigInteger)
    problems: str
    clock_off_s: float | None = None
    beat_s: float = 0.0
