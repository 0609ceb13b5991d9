"""What the line did with a part that an inspector has settled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inspections", sa.Column("line_verdict", sa.String(length=16), nullable=True))
    op.add_column("inspections", sa.Column("line_decided_by", sa.String(length=16), nullable=True))
    # Labels that were there before settle what a deadline had diverted.
    op.execute(
        "UPDATE inspections SET line_verdict = verdict, line_decided_by = decided_by, "
        "decided_by = 'inspector', verdict = (SELECT reviews.verdict FROM reviews "
        "WHERE reviews.device = inspections.device AND reviews.boot = inspections.boot "
        "AND reviews.sequence = inspections.sequence) "
        "WHERE decided_by = 'deadline' AND EXISTS (SELECT 1 FROM reviews "
        "WHERE reviews.device = inspections.device AND reviews.boot = inspections.boot "
        "AND reviews.sequence = inspections.sequence)"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE inspections SET verdict = line_verdict, decided_by = line_decided_by "
        "WHERE line_verdict IS NOT NULL"
    )
    # An earlier version knows no review, and diverted is what these parts are.
    op.execute("UPDATE inspections SET verdict = 'reject' WHERE verdict = 'review'")
    op.execute("UPDATE inspections SET decision = 'escalate' WHERE decision = 'review'")
    op.execute("UPDATE tail_results SET verdict = 'reject' WHERE verdict = 'review'")
    op.drop_column("inspections", "line_decided_by")
    op.drop_column("inspections", "line_verdict")
