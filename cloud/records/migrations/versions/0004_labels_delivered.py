"""Whether a review has reached the device that holds the picture."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reviews", sa.Column("delivered_at", sa.Float(), nullable=True))
    op.add_column("reviews", sa.Column("has_picture", sa.Boolean(), nullable=True))
    op.create_index("ix_reviews_delivered_at", "reviews", ["delivered_at"])


def downgrade() -> None:
    op.drop_index("ix_reviews_delivered_at", "reviews")
    op.drop_column("reviews", "has_picture")
    op.drop_column("reviews", "delivered_at")
