"""Run by alembic: applies the migrations on the connection that `FleetDatabase` hands over."""

from __future__ import annotations

from alembic import context

from fleet.storage.tables import FleetTable

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=FleetTable.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
