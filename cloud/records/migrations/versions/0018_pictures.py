"""Pictures that were asked for while their box was away; what a box says of the picture that it has
kept, and when a part was where on its way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

BOX_TIMES = ("head_ms", "sent_ms", "answered_ms")
CLOUD_TIMES = ("queue_ms", "tail_ms")


def upgrade() -> None:
    op.add_column(
        "inspections", sa.Column("digest", sa.String(length=16), nullable=False, server_default="")
    )
    for name in BOX_TIMES:
        op.add_column(
            "inspections", sa.Column(name, sa.Float(), nullable=False, server_default="0")
        )
    for name in CLOUD_TIMES:
        op.add_column("tail_results", sa.Column(name, sa.Float(), nullable=True))
    op.create_table(
        "picture_requests",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("device", "boot", "sequence", "who"),
    )
    op.create_index("ix_picture_requests_asked_at", "picture_requests", ["asked_at"])


def downgrade() -> None:
    op.drop_table("picture_requests")
    with op.batch_alter_table("tail_results") as table:
        for name in reversed(CLOUD_TIMES):
            table.drop_column(name)
    for name in (*reversed(BOX_TIMES), "digest"):
        op.drop_column("inspections", name)
