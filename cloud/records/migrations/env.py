"""Run by alembic: applies the migrations on the connection that `Database` hands over."""

from __future__ import annotations

from alembic import context

from cloud.records.tables import INSPECTIONS

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=INSPECTIONS.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
