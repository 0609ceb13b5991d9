"""Tail results say the kind of defect, and how coarsely the features were sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tail_results", sa.Column("kind", sa.String(), nullable=True))
    op.add_column("tail_results", sa.Column("kind_probability", sa.Float(), nullable=True))
    # What was stored before was sent as finely as can be.
    op.add_column(
        "tail_results", sa.Column("coarseness", sa.Integer(), nullable=False, server_default="1")
    )


def downgrade() -> None:
    with op.batch_alter_table("tail_results") as table:
        for name in ("coarseness", "kind_probability", "kind"):
            table.drop_column(name)
