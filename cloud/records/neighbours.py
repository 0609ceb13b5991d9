"""The parts before and after one on the same box, in the order in which they came."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Select, select, tuple_

from cloud.records.database import Database
from cloud.records.tables import INSPECTIONS
from cloud.records.views import InspectionView

_ROW = INSPECTIONS.c


class NeighbourPart(NamedTuple):
    """As much of it as a link shows."""

    device: str
    boot: str
    sequence: int
    part: int
    verdict: str

    @property
    def address(self) -> str:
        return f"/inspections/{self.device}/{self.boot}/{self.sequence}"


class PartNeighbours:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def around(self, view: InspectionView) -> tuple[NeighbourPart | None, NeighbourPart | None]:
        """The one before and the one after; None where there is none. Raises RecordsError."""
        order = (_ROW.received_at, _ROW.boot, _ROW.sequence)
        here = tuple_(view.received_at, view.boot, view.sequence)
        same = select(*(_ROW[name] for name in NeighbourPart._fields)).where(
            _ROW.device == view.device, _ROW.site == view.site, _ROW.line == view.line
        )
        before = same.where(tuple_(*order) < here).order_by(*(one.desc() for one in order))
        after = same.where(tuple_(*order) > here).order_by(*order)
        return self._first(before), self._first(after)

    def _first(self, query: Select[Any]) -> NeighbourPart | None:
        with self._database.begin() as connection:
            found = connection.execute(query.limit(1)).mappings().one_or_none()
        return None if found is None else NeighbourPart(**found)
