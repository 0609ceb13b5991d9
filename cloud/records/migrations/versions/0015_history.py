"""What inspectors said before, second looks, who has what before them, kinds of defect by line."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

WAITING = sa.text("(verdict = 'review' OR decided_by = 'deadline')")
SAMPLED = sa.text("sequence = sequence / 500 * 500")
BLIND = sa.text("blind AND undone_at IS NULL")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SCOPE = ("site", "line", "device", "verdict", "decided_by", "boot", "sequence")


def _key() -> list[sa.Column[object]]:
    return [
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
    ]


def _place() -> list[sa.Column[object]]:
    return [
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("line", sa.String(length=63), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "label_history",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        *_key(),
        *_place(),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=63), nullable=True),
        sa.Column("inspector", sa.String(length=63), nullable=False),
        sa.Column("said_at", sa.Float(), nullable=False),
        sa.Column("why", sa.String(length=500), nullable=False),
        sa.Column("drawing", sa.LargeBinary(), nullable=True),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("undone_at", sa.Float(), nullable=True),
        sa.Column("undone_by", sa.String(length=63), nullable=True),
    )
    op.create_index("ix_label_history_part", "label_history", ["device", "boot", "sequence"])
    op.create_index("ix_label_history_kind", "label_history", ["site", "line", "kind"])
    op.create_index(
        "ix_label_history_blind",
        "label_history",
        ["number"],
        sqlite_where=BLIND,
        postgresql_where=BLIND,
    )
    op.create_table(
        "withdrawn_labels",
        *_key(),
        *_place(),
        sa.Column("withdrawn_at", sa.Float(), nullable=False),
        sa.Column("delivered_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("device", "boot", "sequence"),
    )
    op.create_index("ix_withdrawn_labels_delivered_at", "withdrawn_labels", ["delivered_at"])
    op.create_table(
        "second_looks",
        *_key(),
        *_place(),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("worth", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("device", "boot", "sequence"),
    )
    op.create_index("ix_second_looks_worth", "second_looks", ["reason", "worth"])
    op.create_table(
        "review_leases",
        *_key(),
        sa.Column("holder", sa.String(length=63), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("device", "boot", "sequence"),
    )
    op.create_index("ix_review_leases_until", "review_leases", ["until"])
    op.create_table(
        "defect_kinds",
        *_place(),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.PrimaryKeyConstraint("site", "line", "place"),
    )
    op.add_column("reviews", sa.Column("drawing", sa.LargeBinary(), nullable=True))
    # What was said before is the first entry of its part; of whose line nothing is known, nothing
    # was ever stored of it either.
    op.execute(
        "INSERT INTO label_history (device, boot, sequence, site, line, verdict, kind, inspector, "
        "said_at, why, blind) SELECT r.device, r.boot, r.sequence, "
        "coalesce(i.site, t.site, ''), coalesce(i.line, t.line, ''), r.verdict, r.kind, "
        "r.inspector, r.reviewed_at, '', false FROM reviews r "
        "LEFT JOIN inspections i ON i.device = r.device AND i.boot = r.boot "
        "AND i.sequence = r.sequence "
        "LEFT JOIN tail_results t ON t.device = r.device AND t.boot = r.boot "
        "AND t.sequence = r.sequence ORDER BY r.reviewed_at"
    )
    _waiting_by(["received_at", *SCOPE])
    op.create_index(
        "ix_inspections_sampled",
        "inspections",
        ["received_at", *SCOPE],
        sqlite_where=SAMPLED,
        postgresql_where=SAMPLED,
    )


def downgrade() -> None:
    op.drop_index("ix_inspections_sampled", "inspections")
    _waiting_by(["received_at"])
    op.drop_column("reviews", "drawing")
    for table in (
        "defect_kinds",
        "review_leases",
        "second_looks",
        "withdrawn_labels",
        "label_history",
    ):
        op.drop_table(table)


def _waiting_by(columns: list[str]) -> None:
    op.drop_index("ix_inspections_waiting", "inspections")
    op.create_index(
        "ix_inspections_waiting",
        "inspections",
        columns,
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
