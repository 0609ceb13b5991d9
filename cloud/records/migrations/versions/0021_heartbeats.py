"""How often a device says that it is there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    beat = sa.Column("beat_s", sa.Float(), nullable=False, server_default="0")
    op.add_column("devices", beat)


def downgrade() -> None:
    with op.batch_alter_table("devices") as table:
        table.drop_column("beat_s")
