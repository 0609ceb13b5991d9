"""Counts of closed minutes, hours and days; indexes for what lists are asked for; saved views."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Written out, since what the code counts may be another thing by then.
DECIDERS = ("edge", "cloud", "deadline", "inspector")
VERDICTS = ("pass", "reject", "review")
COUNTS = (
    *("inspected", "settled", "waiting", "escalated", "contradicted", "answers", "labelled"),
    *("escapes", "overkills", "tail_results"),
)
ENDS = [
    f"{kind}_{decider}_{verdict}"
    for kind in ("line", "final")
    for decider in DECIDERS
    for verdict in VERDICTS
]
BINS = [
    *(f"latency_{place}" for place in range(21)),
    *(f"scores_{place}" for place in range(20)),
]


# There is always one of the others near, so no index holds them.
UNCOMMON = {
    "verdict": sa.text("verdict <> 'pass'"),
    "decided_by": sa.text("decided_by <> 'edge'"),
    "lot": sa.text("lot <> ''"),
    "recipe": sa.text("recipe <> ''"),
}
WHOLE = ("verdict", "lot", "recipe")


def _columns(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "rollups",
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("line", sa.String(length=63), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("lot", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.Column("bundle", sa.String(length=128), nullable=False),
        *_columns(sa.Integer(), *COUNTS),
        *_columns(sa.BigInteger(), "escalated_bytes", "frame_bytes", "escalated_frame_bytes"),
        *_columns(sa.Float(), "edge_ms", "total_ms", "cloud_ms"),
        sa.Column("first_at", sa.Float(), nullable=True),
        sa.Column("last_at", sa.Float(), nullable=True),
        *_columns(sa.Integer(), *ENDS, *BINS),
        sa.PrimaryKeyConstraint("step", "at", "site", "line", "device", "lot", "recipe", "bundle"),
    )
    op.create_table(
        "rollup_marks",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    state = op.create_table(
        "rollup_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=63), nullable=False),
        sa.Column("held_until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    # Nothing yet: the worker of a service that runs fills in the past.
    op.bulk_insert(state, [{"id": 1, "since": 0, "until": 0, "holder": "", "held_until": 0.0}])
    op.create_table(
        "pruned",
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("before", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("site"),
    )
    op.create_table(
        "saved_views",
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("page", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("query", sa.String(length=2000), nullable=False),
        sa.PrimaryKeyConstraint("account", "page", "name"),
    )
    for name in WHOLE:
        op.drop_index(f"ix_inspections_{name}", "inspections")
    for name, uncommon in UNCOMMON.items():
        op.create_index(
            f"ix_inspections_{name}",
            "inspections",
            [name, "received_at"],
            sqlite_where=uncommon,
            postgresql_where=uncommon,
        )
    for name in ("line", "bundle"):
        op.create_index(f"ix_inspections_{name}", "inspections", [name, "received_at"])
    op.create_index("ix_inspections_part", "inspections", ["part"])


def downgrade() -> None:
    for name in ("part", "line", "bundle", *UNCOMMON):
        op.drop_index(f"ix_inspections_{name}", "inspections")
    for name in WHOLE:
        op.create_index(f"ix_inspections_{name}", "inspections", [name, "received_at"])
    for name in ("saved_views", "pruned", "rollup_state", "rollup_marks", "rollups"):
        op.drop_table(name)
