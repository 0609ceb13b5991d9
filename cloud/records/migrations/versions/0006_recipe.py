"""Which variant of the product was inspected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "inspections", sa.Column("recipe", sa.String(length=64), nullable=False, server_default="")
    )
    op.create_index("ix_inspections_recipe", "inspections", ["recipe", "inspected_at"])


def downgrade() -> None:
    op.drop_index("ix_inspections_recipe", "inspections")
    op.drop_column("inspections", "recipe")
