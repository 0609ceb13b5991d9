"""What boxes measured of their pictures."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STREAM = {"site": 63, "line": 63, "device": 63, "recipe": 64, "bundle": 128}


def _stream() -> list[sa.Column[Any]]:
    return [
        sa.Column(name, sa.String(length=size), nullable=False) for name, size in STREAM.items()
    ]


def upgrade() -> None:
    op.create_table(
        "sketches",
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        *_stream(),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("begun", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=False),
        sa.Column("parts", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("boot", "number", "device"),
    )
    op.create_index("ix_sketches_stream", "sketches", [*STREAM, "received_at"])
    op.create_index("ix_sketches_received_at", "sketches", ["received_at"])
    op.create_table(
        "sketch_hours",
        *_stream(),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parts", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint(*STREAM, "hour"),
    )
    op.create_index("ix_sketch_hours_hour", "sketch_hours", ["hour"])
    op.create_table(
        "drift_streams",
        *_stream(),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.Column("sketches", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.JSON(), nullable=False),
        sa.Column("reference_parts", sa.BigInteger(), nullable=False),
        sa.Column("reference_from", sa.Float(), nullable=True),
        sa.Column("reference_until", sa.Float(), nullable=True),
        sa.Column("reference_by", sa.String(length=100), nullable=False),
        sa.Column("full", sa.Boolean(), nullable=False),
        sa.Column("looks", sa.BigInteger(), nullable=False),
        sa.Column("shifts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint(*STREAM),
    )
    op.create_index("ix_drift_streams_last_at", "drift_streams", ["last_at"])


def downgrade() -> None:
    for table in ("drift_streams", "sketch_hours", "sketches"):
        op.drop_table(table)
