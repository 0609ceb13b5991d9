"""Identities: claims, devices, certificates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "f0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("line", sa.String(length=63), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=True),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_claims_device", "claims", ["device"], unique=False)
    op.create_table(
        "identities",
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("line", sa.String(length=63), nullable=False),
        sa.Column("standing", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("enrolled_at", sa.Float(), nullable=False),
        sa.Column("renewed_at", sa.Float(), nullable=False),
        sa.Column("serial", sa.String(length=40), nullable=False),
        sa.Column("not_after", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("device"),
    )
    op.create_table(
        "certificates",
        sa.Column("serial", sa.String(length=40), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.Float(), nullable=False),
        sa.Column("not_after", sa.Float(), nullable=False),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.Column("pem", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("serial"),
    )
    op.create_index("ix_certificates_device", "certificates", ["device"], unique=False)
    op.create_index("ix_certificates_not_after", "certificates", ["not_after"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_certificates_not_after", table_name="certificates")
    op.drop_index("ix_certificates_device", table_name="certificates")
    op.drop_table("certificates")
    op.drop_table("identities")
    op.drop_index("ix_claims_device", table_name="claims")
    op.drop_table("claims")
