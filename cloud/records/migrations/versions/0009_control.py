"""What would have been done with parts that were drawn at random for a person to look at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DRAWN = sa.text("control <> ''")


def upgrade() -> None:
    op.add_column(
        "inspections", sa.Column("control", sa.String(length=16), nullable=False, server_default="")
    )
    op.create_index(
        "ix_inspections_control",
        "inspections",
        ["bundle"],
        sqlite_where=DRAWN,
        postgresql_where=DRAWN,
    )


def downgrade() -> None:
    op.drop_index("ix_inspections_control", "inspections")
    op.drop_column("inspections", "control")
