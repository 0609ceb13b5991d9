"""Order and counts go by when the cloud received, not by what a box's clock says."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WAITING = sa.text("(verdict = 'review' OR decided_by = 'deadline')")
BESIDE = ("verdict", "device", "lot", "recipe")


def upgrade() -> None:
    op.add_column("devices", sa.Column("clock_off_s", sa.Float(), nullable=True))
    _index_by("inspected_at", "received_at")


def downgrade() -> None:
    _index_by("received_at", "inspected_at")
    op.drop_column("devices", "clock_off_s")


def _index_by(before: str, after: str) -> None:
    op.drop_index(f"ix_inspections_{before}", "inspections")
    op.create_index(f"ix_inspections_{after}", "inspections", [after])
    for name in BESIDE:
        op.drop_index(f"ix_inspections_{name}", "inspections")
        op.create_index(f"ix_inspections_{name}", "inspections", [name, after])
    op.drop_index("ix_inspections_waiting", "inspections")
    op.create_index(
        "ix_inspections_waiting",
        "inspections",
        [after],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
