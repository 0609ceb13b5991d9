"""The base of the fleet's tables: in a schema of their own, apart from the cloud's records."""

from __future__ import annotations

from sqlalchemy import MetaData
from sqlmodel import SQLModel


class FleetTable(SQLModel):
    """Times are UTC seconds since 1970."""

    metadata = MetaData()
