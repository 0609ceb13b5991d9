"""The lot that a part belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "inspections", sa.Column("lot", sa.String(length=64), nullable=False, server_default="")
    )
    op.create_index("ix_inspections_lot", "inspections", ["lot", "inspected_at"])


def downgrade() -> None:
    op.drop_index("ix_inspections_lot", "inspections")
    op.drop_column("inspections", "lot")
