"""Alerts, what happened to them, who is told, and by which rules. Times are UTC seconds."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlmodel import SQLModel

_PLACE = ("site", "line", "device")

# `open_key` names an alert while it is open: of all workers one can raise it.
ALERTS = Table(
    "alerts",
    SQLModel.metadata,
    Column("id", String(32), primary_key=True),
    Column("open_key", String(400), unique=True),
    Column("name", String(32), nullable=False),
    *(Column(one, String(63), nullable=False) for one in _PLACE),
    Column("about", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("says", Text(), nullable=False),
    Column("fix", Text(), nullable=False),
    Column("began_at", Float(), nullable=False),
    Column("changed_at", Float(), nullable=False),
    Column("said_at", Float(), nullable=False),
    Column("raised_at", Float()),
    Column("quiet_since", Float()),
    Column("again_at", Float()),
    Column("ended_at", Float()),
    Column("by", String(100), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("until", Float()),
    Column("times", Integer(), nullable=False),
    Index("ix_alerts_raised_at", "raised_at"),
    Index("ix_alerts_ended_at", "ended_at"),
)

ALERT_EVENTS = Table(
    "alert_events",
    SQLModel.metadata,
    Column("id", Integer(), primary_key=True, autoincrement=True),
    Column("alert", String(32), nullable=False),
    Column("at", Float(), nullable=False),
    Column("what", String(16), nullable=False),
    Column("who", String(100), nullable=False),
    Column("why", String(500), nullable=False),
    Index("ix_alert_events_alert", "alert", "id"),
)

ALERT_RULES = Table(
    "alert_rules",
    SQLModel.metadata,
    Column("name", String(32), primary_key=True),
    Column("site", String(63), primary_key=True),
    Column("line", String(63), primary_key=True),
    Column("enabled", Boolean(), nullable=False),
    Column("limit", Float()),
    Column("delay_s", Float(), nullable=False),
    Column("clear_s", Float(), nullable=False),
    Column("again_s", Float(), nullable=False),
)

# One row: which worker looks at what is wrong, until when by the database's clock.
ALERT_LEASES = Table(
    "alert_leases",
    SQLModel.metadata,
    Column("id", Integer(), primary_key=True, autoincrement=False),
    Column("holder", String(63), nullable=False),
    Column("until", Float(), nullable=False),
)

# `done_at`: when it was delivered, or given up where `failed` says why.
ALERT_NOTICES = Table(
    "alert_notices",
    SQLModel.metadata,
    Column("id", Integer(), primary_key=True, autoincrement=True),
    Column("alert", String(32), nullable=False),
    Column("event", Integer(), nullable=False),
    Column("channel", String(63), nullable=False),
    Column("says", Text(), nullable=False),
    Column("created_at", Float(), nullable=False),
    Column("due_at", Float(), nullable=False),
    Column("tries", Integer(), nullable=False),
    Column("done_at", Float()),
    Column("failed", String(300), nullable=False),
    UniqueConstraint("event", "channel"),
    Index("ix_alert_notices_due", "channel", "done_at", "due_at"),
)
