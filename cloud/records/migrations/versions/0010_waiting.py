"""How many parts wait for a person, without looking at all the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

WAITING = sa.text("(verdict = 'review' OR decided_by = 'deadline')")


def upgrade() -> None:
    op.create_index(
        "ix_inspections_waiting",
        "inspections",
        ["inspected_at"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )


def downgrade() -> None:
    op.drop_index("ix_inspections_waiting", "inspections")
