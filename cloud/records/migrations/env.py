"""Run by alembic: applies the migrations on the connection that `Database` hands over."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from cloud.records import tables

connection = context.config.attributes["connection"]
target_metadata = SQLModel.metadata
assert tables.InspectionRecord.__tablename__ in target_metadata.tables  # noqa: S101
context.configure(
    connection=connection,
    target_metadata=target_metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
