"""What boxes measured of their parts. Times are UTC seconds by the cloud's clock."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, String, Table
from sqlmodel import SQLModel

_STREAM = (("site", 63), ("line", 63), ("device", 63), ("recipe", 64), ("bundle", 128))
STREAM_KEY = tuple(name for name, _ in _STREAM)


def _place() -> list[Column[str]]:
    return [Column(name, String(size), nullable=False) for name, size in _STREAM]


# Sketches of the last day, as they came.
SKETCHES = Table(
    "sketches",
    SQLModel.metadata,
    Column("boot", String(64), primary_key=True),
    Column("number", BigInteger(), primary_key=True, autoincrement=False),
    *(
        Column(name, String(size), nullable=False, primary_key=name == "device")
        for name, size in _STREAM
    ),
    Column("received_at", Float(), nullable=False),
    Column("begun", Float(), nullable=False),
    Column("ended", Float(), nullable=False),
    Column("parts", BigInteger(), nullable=False),
    Column("counts", JSON(), nullable=False),
    Index("ix_sketches_stream", *STREAM_KEY, "received_at"),
    Index("ix_sketches_received_at", "received_at"),
)

# The same by hours, `hour` counted from 1970.
SKETCH_HOURS = Table(
    "sketch_hours",
    SQLModel.metadata,
    *(Column(name, String(size), primary_key=True) for name, size in _STREAM),
    Column("hour", Integer(), primary_key=True, autoincrement=False),
    Column("parts", BigInteger(), nullable=False),
    Column("counts", JSON(), nullable=False),
    Index("ix_sketch_hours_hour", "hour"),
)

# What is known of a device, recipe and bundle: see `cloud.drift.stream.Stream`.
DRIFT_STREAMS = Table(
    "drift_streams",
    SQLModel.metadata,
    *(Column(name, String(size), primary_key=True) for name, size in _STREAM),
    Column("last_at", Float(), nullable=False),
    Column("sketches", BigInteger(), nullable=False),
    Column("parts", BigInteger(), nullable=False),
    Column("reference", JSON(), nullable=False),
    Column("reference_parts", BigInteger(), nullable=False),
    Column("reference_from", Float()),
    Column("reference_until", Float()),
    Column("reference_by", String(100), nullable=False),
    Column("full", Boolean(), nullable=False),
    Column("looks", BigInteger(), nullable=False),
    Column("shifts", JSON(), nullable=False),
    Index("ix_drift_streams_last_at", "last_at"),
)
