"""Shadow documents of the devices, and rollouts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "f0002"
down_revision = "f0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shadows",
        *_address(),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("desired", sa.Text(), nullable=False),
        sa.Column("reported", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("why_offline", sa.String(length=200), nullable=False),
        sa.Column("skew_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("site", "line", "device"),
    )
    op.create_table(
        "shadow_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        *_address(),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("side", sa.String(length=16), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_shadow_changes_device", "shadow_changes", ["site", "line", "device", "id"], unique=False
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("ring", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("passed_at", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("waived", sa.Boolean(), nullable=False),
        sa.Column("approvals", sa.Text(), nullable=False),
        sa.Column("started_by", sa.String(length=100), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_rollouts_state", "rollouts", ["state"], unique=False)
    op.create_table(
        "rollout_members",
        sa.Column("rollout", sa.Integer(), nullable=False),
        *_address(),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("ring", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=255), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("seen_phase", sa.String(length=32), nullable=False),
        sa.Column("asked", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"]),
        sa.PrimaryKeyConstraint("rollout", "site", "line", "device"),
    )


def downgrade() -> None:
    op.drop_table("rollout_members")
    op.drop_index("ix_rollouts_state", table_name="rollouts")
    op.drop_table("rollouts")
    op.drop_index("ix_shadow_changes_device", table_name="shadow_changes")
    op.drop_table("shadow_changes")
    op.drop_table("shadows")


def _address() -> list[sa.Column[str]]:
    return [
        sa.Column(name, sa.String(length=63), nullable=False) for name in ("site", "line", "device")
    ]
