"""The first tables: inspections, tail results, devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("line", sa.String(length=63), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("bundle", sa.String(length=128), nullable=False),
        sa.Column("runtime", sa.String(length=128), nullable=False),
        sa.Column("camera", sa.String(length=256), nullable=False),
        sa.Column("inspected", sa.BigInteger(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("problems", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("site", "line", "device"),
    )
    op.create_table(
        "inspections",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("line", sa.String(length=63), nullable=False),
        sa.Column("part", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("decided_by", sa.String(length=16), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("inspected_at", sa.Float(), nullable=False),
        sa.Column("edge_ms", sa.Float(), nullable=False),
        sa.Column("total_ms", sa.Float(), nullable=False),
        sa.Column("escalated_bytes", sa.Integer(), nullable=False),
        sa.Column("frame_bytes", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=1024), nullable=False),
        sa.Column("bundle", sa.String(length=128), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("device", "boot", "sequence"),
    )
    op.create_index(
        "ix_inspections_device", "inspections", ["device", "inspected_at"], unique=False
    )
    op.create_index("ix_inspections_inspected_at", "inspections", ["inspected_at"], unique=False)
    op.create_index(
        "ix_inspections_verdict", "inspections", ["verdict", "inspected_at"], unique=False
    )
    op.create_table(
        "tail_results",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("line", sa.String(length=63), nullable=False),
        sa.Column("part", sa.BigInteger(), nullable=False),
        sa.Column("pair", sa.String(length=64), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("cloud_ms", sa.Float(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("map_png", sa.LargeBinary(), nullable=True),
        sa.Column("seen_png", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("device", "boot", "sequence"),
    )
    op.create_index("ix_tail_results_received_at", "tail_results", ["received_at"], unique=False)
    op.create_index(
        "ix_tail_results_verdict", "tail_results", ["verdict", "received_at"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_tail_results_verdict", table_name="tail_results")
    op.drop_index("ix_tail_results_received_at", table_name="tail_results")
    op.drop_table("tail_results")
    op.drop_index("ix_inspections_verdict", table_name="inspections")
    op.drop_index("ix_inspections_inspected_at", table_name="inspections")
    op.drop_index("ix_inspections_device", table_name="inspections")
    op.drop_table("inspections")
    op.drop_table("devices")
