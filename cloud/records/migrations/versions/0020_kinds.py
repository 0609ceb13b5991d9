"""Counts of defective parts by kind, and the newest labels without a look at all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kind_rollups",
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(64), nullable=False) for name in _NAMES),
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("step", "at", *_NAMES, "kind"),
    )
    op.create_index("ix_reviews_reviewed_at", "reviews", ["reviewed_at"])
    # What was rolled up before had no kinds: the worker counts the past again.
    op.execute("UPDATE rollup_state SET since = 0, until = 0")


def downgrade() -> None:
    op.drop_index("ix_reviews_reviewed_at", "reviews")
    op.drop_table("kind_rollups")


_NAMES = ("site", "line", "lot", "recipe")
